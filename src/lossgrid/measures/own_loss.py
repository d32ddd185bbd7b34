"""The loss of a user: a function of outputs and targets, and of the network if it has a parameter ``model``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lossgrid import user_code
from lossgrid.data.batch import Tree, count
from lossgrid.errors import InputError
from lossgrid.measures.objective import USERS_UNITS, Objective, Terms, full_precision


def of_user(function: Callable[..., object], name: str, *, role: str = "loss function") -> Objective:
    """Return the objective of a user's function, without accuracy.

    The function returns a number per sample, a pair ``(total, weight)`` of the batch, or the mean over its samples.
    """
    takes_model = has_parameter(function, "model")
    terms = _users_terms(function, name, role)
    return Objective(name, terms, USERS_UNITS, is_users=True, takes_model=takes_model, role=role)


def has_parameter(function: Callable[..., object], name: str) -> bool:
    """Return whether a function, or the forward pass of a module, has a parameter ``name``."""
    try:
        signature = inspect.signature(function.forward if isinstance(function, nn.Module) else function)
    except (TypeError, ValueError):  # functions of extension modules may have no signature
        return False
    return name in signature.parameters


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
