"""Whether the loss of a batch is what its samples add up to: else a surface would depend on how the data are cut.

The loss of a surface is a mean over all samples. It is summed batch by batch, which is right for a number per sample,
for a total with its weight, and for the mean of a batch only where that is the plain mean of its samples. The mean of
a loss that weighs classes or ignores labels is not: it divides by the weights of the batch.
"""

from __future__ import annotations

import torch

from lossgrid.errors import InputError
from lossgrid.evaluation.objective import Objective

SAME = 1e-4  # as a share of the loss: its sums are of at least float32


def refuse_loss_that_does_not_add_up(
    objective: Objective, split: str, outputs: torch.Tensor, targets: torch.Tensor
) -> None:
    """Compare the loss of a batch with that of its parts: two halves, and its first sample with the rest.

    Args:
        objective: A user's loss.
        split: Which split the batch is of, for errors.
        outputs: What the network made of the batch.
        targets: Its targets.

    Raises:
        InputError: The parts come to something else, or a weight is negative.
    """
    count = len(targets)
    if not outputs.isfinite().all():
        return
    whole = _total(objective, outputs, targets)
    for cut in {count // 2, 1} if count > 1 else ():
        parts = [_total(objective, outputs[part], targets[part]) for part in (slice(None, cut), slice(cut, None))]
        _compare(objective, split, whole, [sum(values) for values in zip(*parts, strict=True)])


def _total(objective: Objective, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
    total, weight = objective.without_accuracy().sums(outputs, targets)[0].tolist()
    return total, weight


def _compare(objective: Objective, split: str, whole: tuple[float, float], parts: list[float]) -> None:
    total, weight = whole
    if weight < 0:
        raise InputError(f"loss function {objective.name}: expected a weight of at least 0, got {weight:g}")
    # Unweighted losses near 0 may be sums of large terms of both signs, whose rounding is no smaller.
    apart = max(
        abs(total - parts[0]) / max(abs(total), abs(parts[0]), 1e-30), abs(weight - parts[1]) / max(weight, 1e-30)
    )
    small = max(abs(total), abs(parts[0])) <= SAME * SAME * max(weight, 1e-30)
    if apart <= SAME or (small and abs(weight - parts[1]) <= SAME * weight):
        return
    mean, of_parts = (value / share if share else float("nan") for value, share in ((total, weight), parts))
    raise InputError(
        f"loss function {objective.name}: the loss of a batch of split {split!r} is {mean:.6g}, but its parts come to "
        f"{of_parts:.6g}: it is no mean over samples; return a number per sample, or the pair (total, weight) of the "
        "batch, such as the sum of the losses and the sum of the weights of classes, or the number of labels that count"
    )
