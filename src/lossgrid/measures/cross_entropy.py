"""Cross-entropy of classes, or of their probabilities.

The loss of a data set is that of torch with ``reduction="mean"`` over all of it at once. Without arguments each sample
weighs the same. With ``weight`` or ``ignore_index`` it is a ratio: the sum over all targets that count, divided by the
sum of their weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from lossgrid.errors import InputError
from lossgrid.measures.argument import fraction, one_or_last, truth, weights, whole
from lossgrid.measures.classes import recognised
from lossgrid.measures.labels import Labels
from lossgrid.measures.loss import Loss, constant, refuse_complex
from lossgrid.measures.objective import Objective, Terms, full_precision, mean_of_sample, per_sample, sum_of_sample

ROUND_OFF = 1e-2  # largest deviation of a sum of probabilities from 1, for targets in bfloat16


def make(given: Mapping[str, Any], classification: bool) -> Objective:
    """Return the objective of a split.

    Raises:
        InputError: The targets are real numbers and no probabilities were asked for, or the reverse.
    """
    if given.get("soft", False):
        return _of_probabilities(given, classification)
    if not classification:
        raise InputError(
            "--loss cross_entropy needs integer classes as targets, got real numbers: convert classes to integers; "
            "for probabilities of classes give --loss-arg soft=true; for 0 and 1 of several labels use --loss bce; for "
            "other numbers use --loss mse"
        )
    labels = Labels(given.get("class_dim"), given.get("ignore_index"))
    scale = constant(given["weight"]) if "weight" in given else None
    smoothing = given.get("label_smoothing", 0.0)

    def of_targets(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        scores = full_precision(outputs)
        return _by_target(
            scores, targets, labels, ignore_index=-100 if labels.ignored is None else labels.ignored,
            weight=None if scale is None else scale(scores), label_smoothing=smoothing,
        )  # fmt: skip

    def ratio(outputs: torch.Tensor, targets: torch.Tensor) -> Terms:
        counted = labels.counted(targets)
        weight = counted if scale is None else scale(full_precision(outputs))[targets * counted] * counted
        return sum_of_sample(of_targets(outputs, targets)), sum_of_sample(weight)

    def check(outputs: torch.Tensor, _: torch.Tensor, every: torch.Tensor | None) -> None:
        _check_weights(given, labels.scores(outputs).shape[1])
        if every is None:
            return
        counted = every[labels.counted(every)]
        if counted.numel() == 0:
            raise InputError(f"--loss-arg ignore_index={labels.ignored}: no target counts; all are {labels.ignored}")
        if scale is not None and not scale(full_precision(outputs))[counted].any():
            raise InputError("--loss-arg weight: the classes of all targets have weight 0; give one of them another")

    is_ratio = scale is not None or labels.ignored is not None
    terms = ratio if is_ratio else per_sample(lambda outputs, targets: mean_of_sample(of_targets(outputs, targets)))
    units = "nats per target" if is_ratio else "nats per sample"
    return Objective("cross_entropy", terms, units, labels, recognised(labels), check, is_ratio)


def _by_target(outputs: torch.Tensor, targets: torch.Tensor, labels: Labels, **options: Any) -> torch.Tensor:
    """Return the loss of each target, in the shape of the outputs without the dimension of classes."""
    if labels.dimension != -1:
        return F.cross_entropy(outputs, targets, reduction="none", **options)
    rows = outputs.reshape(-1, outputs.shape[-1])  # a view, unlike a moved dimension
    flat = targets.reshape(rows.shape) if targets.is_floating_point() else targets.reshape(-1)
    return F.cross_entropy(rows, flat, reduction="none", **options).reshape(outputs.shape[:-1])


def _of_probabilities(given: Mapping[str, Any], classification: bool) -> Objective:
    """Return the objective of targets that are probabilities of the classes, in the shape of the outputs."""
    if classification:
        raise InputError(
            "--loss-arg soft=true needs probabilities of classes as targets, got integers; leave it out for classes"
        )
    if "ignore_index" in given:
        raise InputError("--loss-arg ignore_index is of integer classes, not of soft=true; leave one of them out")
    labels = Labels(given.get("class_dim"))
    scale = constant(given["weight"]) if "weight" in given else None

    def of_sample(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        scores = full_precision(outputs)
        return mean_of_sample(
            _by_target(
                scores, targets.to(scores.dtype), labels, weight=None if scale is None else scale(scores),
                label_smoothing=given.get("label_smoothing", 0.0),
            )
        )  # fmt: skip

    def check(outputs: torch.Tensor, targets: torch.Tensor, every: torch.Tensor | None) -> None:
        refuse_complex("cross_entropy", outputs, targets)
        if outputs.shape != targets.shape or outputs.ndim < 2:
            raise InputError(
                f"--loss-arg soft=true: expected probabilities of the shape of the outputs, {tuple(outputs.shape)}, "
                f"got {tuple(targets.shape)}; check --model-arg num_classes"
            )
        _check_weights(given, labels.scores(outputs).shape[1])
        known = targets if every is None else every
        sums = labels.scores(known).sum(dim=1, dtype=torch.float64)
        if bool((known < 0).any()) or not bool(((sums - 1).abs() <= ROUND_OFF).all()):
            raise InputError(
                "--loss-arg soft=true: expected probabilities of at least 0 with sum 1 over the classes (--loss-arg "
                f"class_dim), got a lowest of {float(known.min()):.4g} and sums of {float(sums.min()):.4g} to "
                f"{float(sums.max()):.4g}; divide them by their sum, or use --loss bce for several labels"
            )

    return Objective("cross_entropy", per_sample(of_sample), "nats per sample", check=check)


def _check_weights(given: Mapping[str, Any], classes: int) -> None:
    if len(given.get("weight", ())) not in (0, classes):
        raise InputError(
            f"--loss-arg weight: expected {classes} numbers, one for each class of the outputs, got "
            f"{len(given['weight'])}"
        )


CROSS_ENTROPY = Loss(
    "cross_entropy",
    {"ignore_index": whole, "label_smoothing": fraction, "weight": weights, "class_dim": one_or_last, "soft": truth},
    make,
)
