"""A check that a loss adds up over batches: otherwise a surface would depend on the batch size.

The loss of a surface is a mean over all samples, summed batch by batch. This is correct for a number per sample, and
for a total with its weight. For the mean of a batch it is correct only if that is the plain mean of its samples. The
mean of a loss that weighs classes or ignores labels is not: it divides by the weights of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch

from lossgrid.data.batch import Tree
from lossgrid.errors import InputError
from lossgrid.measures.objective import Objective
from lossgrid.measures.outputs import are_finite

SAME = 1e-4  # relative difference up to which two losses are equal: their sums have float32 precision or better
SMALL = 1e-7  # absolute difference, in units of the loss: round-off of large terms that cancel to a loss near 0
SINGLE = 4  # samples that are evaluated one by one; few, as a loss may be slow

# ``part(index)`` returns the outputs of some samples of a batch, and their targets.
Part = Callable[[list[int]], tuple[Any, Tree]]
ADVICE = (
    "return a number per sample, or the pair (total, weight) of the batch, such as the sum of the losses and the sum "
    "of the weights of classes, or the number of labels that count"
)


def refuse_loss_that_does_not_add_up(
    objective: Objective, split: str, outputs: Any, targets: Tree, part: Part, *, samples: int
) -> None:
    """Raise InputError if the loss of a batch is not the sum over its parts: two halves, and single samples.

    Args:
        objective: A user's loss.
        split: The split of the batch, for errors.
        outputs: Outputs of the network for the batch, ``(n, ...)`` if they are one tensor.
        targets: Targets of the batch, ``(n, ...)`` each.
        part: Returns outputs and targets of some samples.
        samples: Number of samples of the batch.

    Raises:
        InputError: The sum over the parts differs, or a weight is negative.
    """
    fault = fault_of_sums(objective, split, outputs, targets, part, samples=samples)
    if fault is not None:
        raise InputError(f"{fault}: it is no mean over samples; {ADVICE}")


def fault_of_sums(
    objective: Objective, split: str, outputs: Any, targets: Tree, part: Part, *, samples: int
) -> str | None:
    """Return how the loss of a batch differs from the sum over its parts; None if it does not.

    The arguments are those of :func:`refuse_loss_that_does_not_add_up`.

    Raises:
        InputError: A weight is negative.
    """
    if not are_finite(outputs):
        return None
    terms, _ = objective.terms(outputs, targets)
    halves = list(_spans(range(samples), min(samples, 2)))
    if len(terms) == samples > 1:  # a number per sample, which must not depend on the rest of the batch
        alone = torch.cat([objective.terms(*part(half))[0].reshape(-1) for half in halves])
        if torch.allclose(alone, terms, rtol=SAME, atol=SMALL, equal_nan=True):
            return None
    found = _difference(objective, split, (outputs, targets), part, halves)
    if found is None:
        few = torch.linspace(0, samples - 1, min(samples, SINGLE)).round().long().tolist()
        found = _difference(objective, split, part(few), part, [[one] for one in few])
    return found


def _spans(whole: range, parts: int) -> Iterator[list[int]]:
    """Yield consecutive parts of ``whole``; their sizes differ by at most one."""
    for span in torch.arange(len(whole)).tensor_split(parts):
        yield span.tolist()


def _difference(
    objective: Objective, split: str, whole: tuple[Any, Tree], part: Part, indices: list[list[int]]
) -> str | None:
    total, weight = _total(objective, *whole)
    if weight < 0:
        raise InputError(f"{objective.role} {objective.name}: expected a weight of at least 0, got {weight:g}")
    sums = [sum(values) for values in zip(*(_total(objective, *part(index)) for index in indices), strict=True)]
    if _close(weight, sums[1], 0.0) and _close(total, sums[0], SMALL * weight):
        return None
    mean, of_parts = (value / divisor if divisor else float("nan") for value, divisor in ((total, weight), sums))
    return (
        f"{objective.role} {objective.name}: that of a batch of split {split!r} is {mean:.6g}, but its parts come to "
        f"{of_parts:.6g}"
    )


def _close(a: float, b: float, small: float) -> bool:
    """Return whether ``a`` of the whole and ``b`` of its parts agree up to round-off; True if ``a`` is not finite."""
    return not math.isfinite(a) or abs(a - b) <= max(SAME * max(abs(a), abs(b)), small)


def _total(objective: Objective, outputs: Any, targets: Tree) -> tuple[float, float]:
    total, weight = objective.without_accuracy().sums(outputs, targets)[0].tolist()
    return total, weight
