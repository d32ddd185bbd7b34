"""The objective of a split: its loss, built-in or a user's, and for classes the number of correct samples."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from lossgrid import user_code
from lossgrid.data.batch import Tree, count
from lossgrid.errors import InputError

# Numbers whose sum is the loss of a batch times its weight; and the weight.
Terms = tuple[torch.Tensor, torch.Tensor | int]
USERS_UNITS = "loss per sample"


@dataclass(frozen=True)
class Objective:
    """A loss over batches.

    Attributes:
        name: ``cross_entropy``, ``mse``, or the name of a user's function.
        terms: ``terms(outputs, targets)`` returns numbers whose sum is the loss of the batch times its weight, and the
            weight: the loss of every sample, shape ``(n,)``, and n; or a total, shape ``(1,)``, and its weight. The
            weight of the mean of a batch is n.
        units: Units of the loss.
        counts_correct: Whether accuracy is measured too, as the targets are classes.
        is_users: Whether a user wrote the loss.
        takes_model: Whether the loss has a parameter ``model``; call :meth:`bound_to` before ``terms``.
        role: Its kind in errors, such as "loss function".
    """

    name: str
    terms: Callable[..., Terms]
    units: str
    counts_correct: bool
    is_users: bool = False
    takes_model: bool = False
    role: str = "loss function"

    def bound_to(self, model: nn.Module) -> Objective:
        """Return the same loss; a parameter ``model`` of it gets ``model``, the moving network."""
        return replace(self, terms=partial(self.terms, model=model), takes_model=False) if self.takes_model else self

    def without_accuracy(self) -> Objective:
        """Return the loss alone."""
        return replace(self, counts_correct=False)

    def sums(self, outputs: torch.Tensor, targets: Tree) -> torch.Tensor:
        """Return the sums of a batch: a row ``[total, weight]`` for the loss and, if counted, one for the accuracy.

        Args:
            outputs: Outputs of the network for the batch; logits ``(n, num_classes)`` for classes.
            targets: Targets of the batch, ``(n, ...)`` each.

        Returns:
            Shape ``(1, 2)`` or ``(2, 2)``, float64, on the device; the number of correct samples is NaN where the
            largest score of a sample is not finite.
        """
        terms, weight = self.terms(outputs, targets)
        rows = [terms.sum(dtype=torch.float64), as_number(weight, terms)]
        if self.counts_correct:
            highest, classes = outputs.max(dim=1)
            rows += [fraction_of_sample(classes == targets, highest).sum(), as_number(len(targets), terms)]
        return torch.stack(rows).reshape(-1, 2)


def as_number(weight: torch.Tensor | int, like: torch.Tensor) -> torch.Tensor:
    """Return a weight as a tensor of shape ``()``, float64, on the device of ``like``."""
    if isinstance(weight, torch.Tensor):
        return weight.to(torch.float64).reshape(())
    return torch.full((), weight, dtype=torch.float64, device=like.device)


def fraction_of_sample(which: torch.Tensor, highest: torch.Tensor) -> torch.Tensor:
    """Return the fraction of each sample that is True in ``which``, shape ``(n,)``, float64.

    All fractions are NaN if a score in ``highest`` is not finite.
    """
    return torch.where(highest.isfinite().all(), mean_of_sample(which).double(), torch.nan)


def make_objective(loss: str | Callable[..., object], *, classification: bool) -> Objective:
    """Return the objective of a split.

    Args:
        loss: ``cross_entropy``; ``mse``, for classes the mean over them of (softmax - one-hot)^2, as in the reference
            tool; ``package.module:function``; or a function ``loss(outputs, targets)``. A function returns a number
            per sample, a pair ``(total, weight)`` of the batch, or the mean over the samples of the batch. Its
            parameter ``model``, if any, gets the moving network.
        classification: Whether targets are classes; then accuracy is measured too.

    Raises:
        InputError: The name is unknown, or the loss does not fit the targets.
    """
    if not isinstance(loss, str):
        return _users(loss, user_code.name_of(loss), classification)
    name = loss
    if user_code.is_reference(name):
        return _users(user_code.load(name, role="loss function"), name, classification)
    if name == "cross_entropy":
        if not classification:
            raise InputError(
                "--loss cross_entropy needs integer classes as targets, got real numbers: convert classes to integers; "
                "for probabilities of classes give your own loss as package.module:function; for other numbers use "
                "--loss mse"
            )
        return Objective(name, _per_sample(_cross_entropy), "nats per sample", True)
    if name == "mse":
        function = _mse_of_classes if classification else _mse
        return Objective(name, _per_sample(function), "squared error per sample", classification)
    raise InputError(f"--loss: expected cross_entropy, mse or package.module:function, got {name!r}")


def _users(function: Callable[..., object], name: str, classification: bool) -> Objective:
    return replace(of_user(function, name), counts_correct=classification)


def of_user(function: Callable[..., object], name: str, *, role: str = "loss function") -> Objective:
    """Return the objective of a user's function; see :func:`make_objective` for the values it may return."""
    takes_model = has_parameter(function, "model")
    return Objective(name, _users_terms(function, name, role), USERS_UNITS, False, True, takes_model, role)


def has_parameter(function: Callable[..., object], name: str) -> bool:
    """Return whether a function, or the forward pass of a module, has a parameter ``name``."""
    try:
        signature = inspect.signature(function.forward if isinstance(function, nn.Module) else function)
    except (TypeError, ValueError):  # functions of extension modules may have no signature
        return False
    return name in signature.parameters


def _per_sample(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[..., Terms]:
    def terms(outputs: torch.Tensor, targets: torch.Tensor) -> Terms:
        return function(outputs, targets), len(targets)

    return terms


def _cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return mean_of_sample(F.cross_entropy(full_precision(outputs), targets, reduction="none"))


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


def mean_of_sample(values: torch.Tensor) -> torch.Tensor:
    """Return the mean of each sample, ``(n, ...)`` to ``(n,)``, float64: a sequence of tokens counts as one sample."""
    return values.flatten(1).mean(dim=1, dtype=torch.float64) if values.ndim > 1 else values


def full_precision(outputs: torch.Tensor) -> torch.Tensor:
    """Return outputs in at least float32: the loss of bfloat16 outputs is computed in float32."""
    return outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs


def _users_terms(function: Callable[..., object], name: str, role: str) -> Callable[..., Terms]:
    """Return the terms of a user's loss, which returns numbers ``(n,)``, a mean ``()`` or a pair (total, weight)."""

    def terms(outputs: torch.Tensor, targets: Tree, **model: nn.Module) -> Terms:
        given = full_precision(outputs) if isinstance(outputs, torch.Tensor) else outputs
        loss = user_code.call(function, given, targets, name=name, role=role, **model)
        samples = count(targets)
        if isinstance(loss, (tuple, list)) and len(loss) == 2:
            total, weight = (_scalar(part, outputs) for part in loss)
            if total is not None and weight is not None:
                return total.reshape(1), weight
        if isinstance(loss, torch.Tensor) and not loss.is_complex():
            if loss.shape == (samples,):
                return loss, samples
            if loss.ndim == 0:
                return (loss.double() * samples).reshape(1), samples
        raise InputError(
            f"{role} {name}: expected a tensor with the mean of the batch, shape (), or a number per sample, "
            f"shape ({samples},), or a pair (total, weight) of the batch, got {_kind(loss)}"
        )

    return terms


def _scalar(part: object, like: torch.Tensor) -> torch.Tensor | None:
    """Return a real number as a tensor of shape ``()``; None if ``part`` is not a real number."""
    if isinstance(part, torch.Tensor):
        return part.reshape(()) if part.numel() == 1 and not part.is_complex() else None
    if isinstance(part, (int, float)) and not isinstance(part, bool):
        return torch.full((), part, dtype=torch.float64, device=like.device)
    return None


def _kind(loss: Any) -> str:
    if isinstance(loss, torch.Tensor):
        return f"{'complex numbers of ' if loss.is_complex() else ''}shape {tuple(loss.shape)}"
    if isinstance(loss, (tuple, list)):
        return f"a {type(loss).__name__} of {len(loss)}: {', '.join(type(part).__name__ for part in loss)}"
    return type(loss).__name__
