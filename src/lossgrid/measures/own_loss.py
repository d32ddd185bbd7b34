"""The loss of a user: a function of outputs and targets, and of the network if it has a parameter ``model``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lossgrid import user_code
from lossgrid.data.batch import Tree, count, leaves
from lossgrid.errors import InputError
from lossgrid.measures import gradients
from lossgrid.measures.objective import USERS_UNITS, Objective, Terms, full_precision
from lossgrid.measures.outputs import tensors_of, with_tensors


def of_user(function: Callable[..., object], name: str, *, role: str = "loss function") -> Objective:
    """Return the objective of a user's function, without accuracy.

    The function returns a number per sample, a pair ``(total, weight)`` of the batch, or the mean over its samples.
    """
    takes_model, needs_grad = has_parameter(function, "model"), gradients.asked_by(function)
    terms = _users_terms(function, name, role)
    if needs_grad:
        terms = _recorded(terms)
    return Objective(name, terms, USERS_UNITS, is_users=True, takes_model=takes_model, role=role, needs_grad=needs_grad)


def has_parameter(function: Callable[..., object], name: str) -> bool:
    """Return whether a function, or the forward pass of a module, has a parameter ``name``."""
    try:
        signature = inspect.signature(function.forward if isinstance(function, nn.Module) else function)
    except (TypeError, ValueError):  # functions of extension modules may have no signature
        return False
    return name in signature.parameters


def _users_terms(function: Callable[..., object], name: str, role: str) -> Callable[..., Terms]:
    """Return the terms of a user's loss, which returns numbers ``(n,)``, a mean ``()`` or a pair (total, weight)."""

    def terms(outputs: Any, targets: Tree, **model: nn.Module) -> Terms:
        loss = user_code.call(function, _wide(outputs), targets, name=name, role=role, **model)
        samples = count(targets)
        found = terms_of(loss, samples, leaves(targets)[0].device)
        if found is None:
            raise unfit(loss, samples, f"{role} {name}")
        return found

    return terms


def _wide(outputs: Any) -> Any:
    """Return outputs of any kind, their tensors in at least float32."""
    if isinstance(outputs, torch.Tensor):
        return full_precision(outputs)
    narrow = any(tensor.dtype in (torch.bfloat16, torch.float16) for tensor in tensors_of(outputs).values())
    return with_tensors(full_precision, outputs) if narrow else outputs


def _recorded(terms: Callable[..., Terms]) -> Callable[..., Terms]:
    """Return terms that are computed with gradients, and returned without."""

    def of_batch(outputs: Any, targets: Tree, **model: nn.Module) -> Terms:
        with gradients.recorded():
            values, weight = terms(outputs, gradients.as_constants(targets), **model)
            return values.detach(), gradients.without_graph(weight)

    return of_batch


def terms_of(value: Any, samples: int, device: torch.device) -> Terms | None:
    """Return the terms of a user's value: numbers ``(n,)``, a mean ``()`` or a pair (total, weight); None of others."""
    if isinstance(value, (tuple, list)) and len(value) == 2:
        total, weight = (_scalar(part, device) for part in value)
        if total is not None and weight is not None:
            return total.reshape(1), weight
    if isinstance(value, torch.Tensor) and not value.is_complex():
        if value.shape == (samples,):
            return value, samples
        if value.ndim == 0:
            return (value.double() * samples).reshape(1), samples
    return None


def unfit(value: Any, samples: int, who: str) -> InputError:
    """Return the error that a user's value has no terms; ``who`` names the function."""
    return InputError(
        f"{who}: expected a tensor with the mean of the batch, shape (), or a number per sample, "
        f"shape ({samples},), or a pair (total, weight) of the batch, got {_kind(value)}"
    )


def _scalar(part: object, device: torch.device) -> torch.Tensor | None:
    """Return a real number as a tensor of shape ``()``; None if ``part`` is not a real number."""
    if isinstance(part, torch.Tensor):
        return part.reshape(()) if part.numel() == 1 and not part.is_complex() else None
    if isinstance(part, (int, float)) and not isinstance(part, bool):
        return torch.full((), part, dtype=torch.float64, device=device)
    return None


def _kind(loss: Any) -> str:
    if isinstance(loss, torch.Tensor):
        return f"{'complex numbers of ' if loss.is_complex() else ''}shape {tuple(loss.shape)}"
    if isinstance(loss, (tuple, list)):
        return f"a {type(loss).__name__} of {len(loss)}: {', '.join(type(part).__name__ for part in loss)}"
    return type(loss).__name__
