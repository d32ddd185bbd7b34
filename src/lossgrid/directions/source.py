"""The protocol of a source of directions: random ones, those of a file, those towards other networks, and others.

A source returns one direction for each axis of the grid, with the same bits on every rank. Settings of one kind of
direction, such as the seed of random ones, are attributes of its source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from lossgrid.data import Split
from lossgrid.directions.entries import Entries, parameters
from lossgrid.parallel import World


@dataclass(frozen=True)
class Around:
    """The network around which directions are made, with its data and ranks.

    Attributes:
        model: The trained network, theta*, on the CPU, in evaluation mode; a source must not change it.
        splits: The data by the name of the split, in the dtype of the user.
        world: The ranks; all of them make the directions together.
        moves: The names of the entries that may move, as ``--move``, ``--freeze`` and ``--trainable-only`` choose them;
            None if all may.
    """

    model: torch.nn.Module
    splits: Mapping[str, Split]
    world: World
    moves: frozenset[str] | None = None

    def parameters(self) -> Entries:
        """Return the parameters that may move, by name, in the network's order, detached."""
        own = parameters(self.model)
        return own if self.moves is None else {name: entry for name, entry in own.items() if name in self.moves}


class DirectionSource(Protocol):
    """Makes the directions of a grid."""

    @property
    def needs_data(self) -> bool:
        """Whether it reads the data; otherwise only one sample is loaded, for the shapes."""

    @property
    def needs_all_ranks(self) -> bool:
        """Whether all ranks make the directions together; otherwise one rank of each node makes them."""

    def make(self, around: Around, axes: int) -> list[Entries]:
        """Return ``axes`` directions by entry of the network, float64 or complex128, on the CPU: delta, then eta.

        Collective where it needs all ranks: all ranks of ``around.world`` must call this.

        Raises:
            InputError: The directions cannot be made.
        """
