"""Binary cross-entropy of logits: one logit for two classes, or one for each of many labels."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from lossgrid.errors import InputError
from lossgrid.measures.argument import weights
from lossgrid.measures.loss import Loss, alike, constant, refuse_complex
from lossgrid.measures.objective import Objective, Terms, fraction_of_sample, full_precision, mean_of_sample, per_sample

logits = partial(alike, "bce")


def make(given: Mapping[str, Any], classification: bool) -> Objective:  # noqa: ARG001
    """Return the objective of a split, whose targets are 0 or 1, or probabilities in between.

    The accuracy is the fraction of labels on the side of their logit: above 0 for targets above 0.5.
    """
    scale = constant(given["pos_weight"]) if "pos_weight" in given else None

    def of_sample(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        scores = logits(full_precision(outputs), targets)
        positive = None if scale is None else _by_label(scale(scores), scores)
        return mean_of_sample(
            F.binary_cross_entropy_with_logits(
                scores, targets.to(scores.dtype), reduction="none", pos_weight=positive
            )
        )  # fmt: skip

    def check(outputs: torch.Tensor, targets: torch.Tensor, every: torch.Tensor | None) -> None:
        refuse_complex("bce", outputs, targets)
        scores = logits(outputs, targets)
        labels = scores.shape[1] if scores.ndim > 1 else 1
        if len(given.get("pos_weight", (1,))) not in (1, labels):
            raise InputError(
                f"--loss-arg pos_weight: expected {labels} numbers, one for each label of the outputs, got "
                f"{len(given['pos_weight'])}"
            )
        lowest, highest = (targets if every is None else every).aminmax()
        if lowest < 0 or highest > 1:
            raise InputError(
                f"--loss bce: expected targets from 0 to 1, got {lowest.item():.6g} to {highest.item():.6g}; convert "
                "labels to 0 and 1, or use --loss cross_entropy for classes"
            )

    return Objective("bce", per_sample(of_sample), "nats per sample", recognised=right_side, check=check)


def _by_label(weight: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return one weight, or those of the labels in dimension 1 of the scores, in a shape that broadcasts."""
    return weight if len(weight) == 1 else weight.reshape(-1, *[1] * (scores.ndim - 2))


def right_side(outputs: torch.Tensor, targets: torch.Tensor) -> Terms:
    """Return the fraction of labels of each sample whose logit is on the side of the target, and n."""
    scores = logits(outputs, targets)
    return fraction_of_sample((scores > 0) == (targets > 0.5), scores), len(targets)


BCE = Loss("bce", {"pos_weight": weights}, make)
