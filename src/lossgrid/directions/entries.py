"""The entries of a network a direction can move: parameters, and buffers that hold floating-point numbers.

Directions and theta* travel as ``dict[str, Tensor]`` in the network's own order. A direction names only the entries it
moves; all others have direction 0.
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

    Without the extra state of modules, which is no part of the point where the network stands.
    """
    return {name: tensor.detach() for name, tensor in model.state_dict().items() if not is_extra(name)}


def copied(entries: Mapping[str, torch.Tensor]) -> Entries:
    """Return an independent copy on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in entries.items()}
