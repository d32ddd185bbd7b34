"""A check that a loss adds up over batches: otherwise a surface would depend on the batch size.

The loss of a surface is a mean over all samples, summed batch by batch. This is correct for a number per sample, and
for a total with its weight. For the mean of a batch it is correct only if that is the plain mean of its samples. The
mean of a loss that weighs classes or ignores labels is not: it divides by the weights of the batch.
"""

from __future__ import annotations

import math

import torch

from lossgrid.data.batch import Tree, at, divided
from lossgrid.errors import InputError
from lossgrid.measures.objective import Objective

SAME = 1e-4  # relative difference up to which two losses are equal: their sums have float32 precision or better
SMALL = 1e-7  # absolute difference, in units of the loss: round-off of large terms that cancel to a loss near 0
SINGLE = 4  # samples that are evaluated one by one; few, as a loss may be slow


def refuse_loss_that_does_not_add_up(objective: Objective, split: str, outputs: torch.Tensor, targets: Tree) -> None:
    """Raise InputError if the loss of a batch is not the sum over its parts: two halves, and single samples.

    Args:
        objective: A user's loss.
        split: The split of the batch, for errors.
        outputs: Outputs of the network for the batch, ``(n, ...)``.
        targets: Targets of the batch, ``(n, ...)`` each.

    Raises:
        InputError: The sum over the parts differs, or a weight is negative.
    """
    count = len(outputs)
    if not outputs.isfinite().all():
        return
    terms, _ = objective.terms(outputs, targets)
    if len(terms) == count > 1:  # a number per sample, which must not depend on the rest of the batch
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
    mean, of_parts = (value / divisor if divisor else float("nan") for value, divisor in ((total, weight), sums))
    raise InputError(
        f"{objective.role} {objective.name}: that of a batch of split {split!r} is {mean:.6g}, but its parts come to "
        f"{of_parts:.6g}: it is no mean over samples; return a number per sample, or the pair (total, weight) of the "
        "batch, such as the sum of the losses and the sum of the weights of classes, or the number of labels that count"
    )


def _close(a: float, b: float, small: float) -> bool:
    """Return whether ``a`` of the whole and ``b`` of its parts agree up to round-off; True if ``a`` is not finite."""
    return not math.isfinite(a) or abs(a - b) <= max(SAME * max(abs(a), abs(b)), small)


def _total(objective: Objective, outputs: torch.Tensor, targets: Tree) -> tuple[float, float]:
    total, weight = objective.without_accuracy().sums(outputs, targets)[0].tolist()
    return total, weight
