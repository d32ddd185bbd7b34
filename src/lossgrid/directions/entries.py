"""The entries of a network that a direction can move: parameters, and buffers of floating-point numbers.

Directions and theta* are ``dict[str, Tensor]`` in the network's own order. A direction names only the entries it moves;
all others have direction 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lossgrid.models import is_extra

Entries = dict[str, torch.Tensor]


def parameters(model: torch.nn.Module) -> Entries:
    """Return the parameters by name, in ``model.parameters()`` order, detached; a shared one under its first name."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def states(model: torch.nn.Module) -> Entries:
    """Return all entries of ``model.state_dict()`` in its order: parameters and buffers, integer ones too.

    Extra state of modules (``get_extra_state``) is left out.
    """
    return {
        name: tensor.detach()
        for name, tensor in model.state_dict().items()
        if isinstance(tensor, torch.Tensor) and not is_extra(name)
    }


def can_move(entry: torch.Tensor) -> bool:
    """Return whether a direction can move an entry: its numbers are floating-point or complex."""
    return entry.is_floating_point() or entry.is_complex()


def exact(entry: torch.Tensor) -> torch.dtype:
    """Return the dtype of directions for an entry: float64, or complex128 for complex numbers."""
    return torch.complex128 if entry.is_complex() else torch.float64


def copied(entries: Mapping[str, torch.Tensor]) -> Entries:
    """Return an independent copy on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in entries.items()}
