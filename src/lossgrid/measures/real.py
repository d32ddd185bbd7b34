"""Losses of real numbers: squared and absolute errors, their mixtures, and counts. Integers are numbers here too.

Only ``mse`` reads integers as classes, as the reference tool does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from lossgrid.errors import InputError
from lossgrid.measures.argument import above_zero, truth
from lossgrid.measures.classes import recognised
from lossgrid.measures.labels import Labels
from lossgrid.measures.loss import Loss, alike, refuse_complex
from lossgrid.measures.objective import Objective, full_precision, mean_of_sample, per_sample


def make_mse(given: Mapping[str, Any], classification: bool) -> Objective:  # noqa: ARG001
    """Return the squared error; of classes the mean over them of (softmax - one-hot)^2."""
    units, labels = "squared error per sample", Labels()
    if classification:
        return Objective("mse", per_sample(_mse_of_classes), units, labels, recognised(labels))
    return Objective("mse", per_sample(_mse), units)


def _mse_of_classes(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean over classes of (softmax - one-hot)^2, as the reference tool defines it."""
    outputs = full_precision(outputs)
    one_hot = F.one_hot(targets, outputs.shape[1]).movedim(-1, 1)
    return mean_of_sample((outputs.softmax(dim=1) - one_hot).square())


def _mse(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    outputs = full_precision(outputs)
    if outputs.shape != targets.shape and outputs.numel() == targets.numel():
        outputs = outputs.reshape(targets.shape)  # (n, 1) against (n,)
    if outputs.shape != targets.shape:
        raise InputError(f"--loss mse: outputs have shape {tuple(outputs.shape)}, targets {tuple(targets.shape)}")
    if outputs.is_complex() or targets.is_complex():
        return mean_of_sample(torch.view_as_real((outputs - targets).resolve_conj()).square().sum(dim=-1))
    return mean_of_sample((outputs - targets).square())


def _make(
    name: str,
    function: Callable[..., torch.Tensor],
    units: str,
    given: Mapping[str, Any],
    classification: bool,  # noqa: ARG001
) -> Objective:
    """Return the objective of a loss of torch; ``given`` are its keyword arguments."""

    def of_sample(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        numbers = alike(name, full_precision(outputs), targets)
        return mean_of_sample(function(numbers, targets.to(numbers.dtype), reduction="none", **given))

    def check(outputs: torch.Tensor, targets: torch.Tensor, every: torch.Tensor | None) -> None:
        refuse_complex(name, outputs, targets)
        alike(name, outputs, targets)
        lowest = (targets if every is None else every).min()
        if name == "poisson_nll" and lowest < 0:
            raise InputError(
                f"--loss poisson_nll: expected counts of at least 0 as targets, got {lowest.item():.6g}; use "
                "--loss mse, l1 or huber for other numbers"
            )

    return Objective(name, per_sample(of_sample), units, check=check)


def _of_torch(name: str, function: Callable[..., torch.Tensor], units: str, **arguments: Callable[[Any], Any]) -> Loss:
    return Loss(name, arguments, partial(_make, name, function, units))


MSE = Loss("mse", {}, make_mse)
L1 = _of_torch("l1", F.l1_loss, "absolute error per sample")
SMOOTH_L1 = _of_torch("smooth_l1", F.smooth_l1_loss, "smooth L1 loss per sample", beta=above_zero)
HUBER = _of_torch("huber", F.huber_loss, "Huber loss per sample", delta=above_zero)
POISSON_NLL = _of_torch(
    "poisson_nll", F.poisson_nll_loss, "nats per sample", log_input=truth, full=truth, eps=above_zero
)
