"""Directions from the trained network towards others."""

from __future__ import annotations

import copy
import logging
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

log = logging.getLogger(__name__)

Network = torch.nn.Module | Mapping[str, Any] | str | Path


@dataclass(frozen=True)
class Towards:
    """Directions towards other networks; the directions of further axes are random.

    Attributes:
        networks: Modules, state dicts or checkpoint files, each after its name in errors.
        others: The source of the directions of further axes.
        layout: Where the weights are in checkpoint files.
    """

    networks: Sequence[tuple[str, Network]]
    others: Random
    layout: models.Layout = models.BY_RULE
    needs_data: bool = False
    needs_all_ranks: bool = False

    def make(self, around: Around, axes: int) -> list[Entries]:
        """Return the direction towards each network, then random directions.

        Raises:
            InputError: A network cannot be read, does not fit, or equals the trained network.
        """
        made = [
            _chosen(towards(_state(network, self.layout), around.model, source=name), around.moves, source=name)
            for name, network in self.networks[:axes]
        ]
        return made + [self.others.of_axis(around.model, axis, around.moves) for axis in range(len(made), axes)]


def towards(state: Mapping[str, Any], model: torch.nn.Module, *, source: str) -> Entries:
    """Return the direction from ``model`` to the checkpoint ``state``.

    The function loads ``state`` into ``model`` and then restores the entries of ``model`` to the bit.

    Raises:
        InputError: The checkpoint does not fit, or equals the network.
    """
    start = copy.deepcopy(model.state_dict())  # a deep copy, as modules may have extra state of any type
    theta = {name: start[name] for name in states(model)}
    try:
        models.load_renamed(model, state, source=source)
        return difference(theta, states(model), source=source)
    finally:
        model.load_state_dict(start, strict=False)  # not strict: hooks may leave entries out of a state dict


def _chosen(direction: Entries, moves: frozenset[str] | None, *, source: str) -> Entries:
    """Return a direction without the entries that do not move; these have the values of theta* at its end too.

    Raises:
        InputError: The two networks are equal in the entries that move.
    """
    if moves is None:
        return direction
    chosen = {name: tensor for name, tensor in direction.items() if name in moves}
    if not any(tensor.any() for tensor in chosen.values()):
        raise InputError(
            f"--to: {source} differs from the trained network in none of the {len(chosen)} entries that --move, "
            "--freeze or --trainable-only leaves to move"
        )
    log.info(
        "%d of %d entries lead to %s; all others stay as in the trained network, so that 1 is not %s itself",
        len(chosen), len(direction), source, source,
    )  # fmt: skip
    return chosen


def _state(network: Network, layout: models.Layout) -> Mapping[str, Any]:
    if isinstance(network, (str, Path)):
        return models.read_checkpoint(Path(network), layout)
    return network.state_dict() if isinstance(network, torch.nn.Module) else network


def difference(start: Mapping[str, torch.Tensor], end: Mapping[str, torch.Tensor], *, source: str) -> Entries:
    """Return ``end - start`` of parameters and buffers: the running statistics of batch normalisation move too.

    Args:
        start: All entries of theta*, in the network's order.
        end: The same entries of the other network.
        source: The origin of ``end``, for errors.

    Returns:
        Name to direction, float64, complex128 for complex entries, on the CPU; integer entries do not move.

    Raises:
        InputError: The two networks are equal, so that there is no direction between them.
    """
    direction = {
        name: end[name].cpu().to(exact(tensor)) - tensor.cpu().to(exact(tensor))
        for name, tensor in start.items()
        if can_move(tensor)
    }
    if not any(tensor.any() for tensor in direction.values()):
        raise InputError(f"--to: {source} holds the same network as --checkpoint; give another one")
    return direction
