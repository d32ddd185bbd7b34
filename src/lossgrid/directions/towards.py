"""Directions from the trained network towards others."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lossgrid import models
from lossgrid.directions.entries import Entries, can_move, exact, states
from lossgrid.directions.random import Random
from lossgrid.directions.source import Around
from lossgrid.errors import InputError

Network = torch.nn.Module | Mapping[str, Any] | str | Path


@dataclass(frozen=True)
class Towards:
    """Directions towards other networks; axes for which there is none are random.

    Attributes:
        networks: Modules, state dicts or checkpoint files, each with what it is called in errors.
        others: The directions of the other axes.
    """

    networks: Sequence[tuple[str, Network]]
    others: Random
    needs_data: bool = False

    def make(self, around: Around, axes: int) -> list[Entries]:
        """Return the way to each network, then random directions.

        Raises:
            InputError: A network cannot be read, or does not fit, or is the trained network itself.
        """
        made = [towards(_state(network), around.model, source=name) for name, network in self.networks[:axes]]
        return made + [self.others.of_axis(around.model, axis) for axis in range(len(made), axes)]


def towards(state: Mapping[str, Any], model: torch.nn.Module, *, source: str) -> Entries:
    """Return the direction from ``model`` to the checkpoint ``state``.

    The entries of ``model`` hold those of ``state`` meanwhile; they are put back to the bit.

    Raises:
        InputError: The checkpoint does not fit, or is the network itself.
    """
    start = copy.deepcopy(model.state_dict())  # with the extra state of modules
    theta = {name: start[name] for name in states(model)}
    try:
        models.load_state(model, state, source=source)
        return difference(theta, states(model), source=source)
    finally:
        model.load_state_dict(start, strict=False)  # what layers keep beside their entries stays as it is


def _state(network: Network) -> Mapping[str, Any]:
    if isinstance(network, (str, Path)):
        return models.read_checkpoint(Path(network))
    return network.state_dict() if isinstance(network, torch.nn.Module) else network


def difference(start: Mapping[str, torch.Tensor], end: Mapping[str, torch.Tensor], *, source: str) -> Entries:
    """Return ``end - start``: parameters and buffers, as batch normalisation needs the statistics of where it is.

    Args:
        start: All entries of theta*, in the network's order.
        end: The same entries of the other network.
        source: Where ``end`` comes from, for errors.

    Returns:
        Name to direction, float64, complex128 for complex entries, on the CPU; integer entries stay where they are.

    Raises:
        InputError: The two are the same network, so that there is no direction between them.
    """
    direction = {
        name: end[name].cpu().to(exact(tensor)) - tensor.cpu().to(exact(tensor))
        for name, tensor in start.items()
        if can_move(tensor)
    }
    if not any(tensor.any() for tensor in direction.values()):
        raise InputError(f"--to: {source} holds the same network as --checkpoint; give another one")
    return direction
