"""An evaluator of fewer samples: a cheap estimate of each point, whose error is nearly the same at points nearby."""

from __future__ import annotations

from dataclasses import replace

from lossgrid.data.fewer import fewer
from lossgrid.evaluation.evaluator import Evaluator
from lossgrid.evaluation.sameness import Differs, Unsuitable


def with_fewer(evaluator: Evaluator, count: int, digest: str) -> Evaluator:
    """Return an evaluator of ``count`` samples of each split, which runs the same network.

    Args:
        evaluator: That of all samples; both move one network, and so must be used in turns.
        count: How many samples of each split; all of a smaller one.
        digest: Decides which samples.
    """
    batches = {split: fewer(own, count, digest) for split, own in evaluator.batches.items()}
    found = replace(evaluator, batches=batches, recorded=None)
    if evaluator.recorded is None:
        return found
    try:
        return found.with_graphs()
    except (Differs, Unsuitable):
        return found
