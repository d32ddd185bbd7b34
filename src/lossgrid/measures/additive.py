"""Whether the loss of a batch is what its samples add up to: else a surface would depend on how the data are cut.

The loss of a surface is a mean over all samples. It is summed batch by batch, which is right for a number per sample,
for a total with its weight, and for the mean of a batch only where that is the plain mean of its samples. The mean of
a loss that weighs classes or ignores labels is not: it divides by the weights of the batch.
"""

from __future__ import annotations

import math

import torch

from lossgrid.data.batch import Tree, at, divided
from lossgrid.errors import InputError
from lossgrid.measures.objective import Objective

SAME = 1e-4  # as a share of the loss: its sums are of at least float32
SMALL = 1e-7  # a loss near 0 may be a sum of large terms of both signs, whose rounding is no smaller
SINGLE = 4  # samples whose losses are taken one by one: a loss may be slow


def refuse_loss_that_does_not_add_up(objective: Objective, split: str, outputs: torch.Tensor, targets: Tree) -> None:
    """Compare the loss of a batch with that of its halves, and the loss of some samples with that of each.

    Args:
        objective: A user's loss.
        split: Which split the batch is of, for errors.
        outputs: What the network made of the batch.
        targets: Its targets.

    Raises:
        InputError: The parts come to something else, or a weight is negative.
    """
    count = len(outputs)
    if not outputs.isfinite().all():
        return
    terms, _ = objective.terms(outputs, targets)
    if len(terms) == count > 1:  # a number per sample: each must be the same in a smaller batch
        halves = zip(outputs.tensor_split(2), divided(targets, 2), strict=True)
        alone = torch.cat([objective.terms(*half)[0].reshape(-1) for half in halves])
        if torch.allclose(alone, terms, rtol=SAME, atol=SMALL, equal_nan=True):
            return
    _compare(objective, split, outputs, targets, parts=min(count, 2))
    few = torch.linspace(0, count - 1, min(count, SINGLE), device=outputs.device).round().long()
    _compare(objective, split, outputs[few], at(targets, few), parts=len(few))


def _compare(objective: Objective, split: str, outputs: torch.Tensor, targets: Tree, *, parts: int) -> None:
    total, weight = _total(objective, outputs, targets)
    if weight < 0:
        raise InputError(f"{objective.role} {objective.name}: expected a weight of at least 0, got {weight:g}")
    pieces = zip(outputs.tensor_split(parts), divided(targets, parts), strict=True)
    sums = [sum(values) for values in zip(*(_total(objective, *piece) for piece in pieces), strict=True)]
    if _close(weight, sums[1], 0.0) and _close(total, sums[0], SMALL * weight):
        return
    mean, of_parts = (value / share if share else float("nan") for value, share in ((total, weight), sums))
    raise InputError(
        f"{objective.role} {objective.name}: that of a batch of split {split!r} is {mean:.6g}, but its parts come to "
        f"{of_parts:.6g}: it is no mean over samples; return a number per sample, or the pair (total, weight) of the "
        "batch, such as the sum of the losses and the sum of the weights of classes, or the number of labels that count"
    )


def _close(a: float, b: float, small: float) -> bool:
    """Tell whether the parts come to ``b`` as the whole to ``a``; where that is not finite it cannot be told."""
    return not math.isfinite(a) or abs(a - b) <= max(SAME * max(abs(a), abs(b)), small)


def _total(objective: Objective, outputs: torch.Tensor, targets: Tree) -> tuple[float, float]:
    total, weight = objective.without_accuracy().sums(outputs, targets)[0].tolist()
    return total, weight
