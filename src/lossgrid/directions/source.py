"""Where directions come from: the socket for random ones, those of a file, those towards other networks, and others.

A source makes one direction for each axis of the grid, on every rank, and the same bits on each. What belongs to one
kind of direction only, such as the seed of random ones, is a part of its source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from lossgrid.data import Split
from lossgrid.directions.entries import Entries
from lossgrid.parallel import World


@dataclass(frozen=True)
class Around:
    """What directions are made around.

    Attributes:
        model: The trained network, theta*, on the CPU, in evaluation mode; a source leaves it as it is.
        splits: The data by name, in the dtype in which they were given.
        world: The ranks, all of which make the directions together.
    """

    model: torch.nn.Module
    splits: Mapping[str, Split]
    world: World


class DirectionSource(Protocol):
    """Makes directions."""

    @property
    def needs_data(self) -> bool:
        """Tell whether it looks at the data; else a single sample is loaded, which tells the shapes."""

    def make(self, around: Around, axes: int) -> list[Entries]:
        """Return ``axes`` directions by entry of the network, float64 or complex128, on the CPU: delta, then eta.

        Collective: all ranks of ``around.world`` must call this.

        Raises:
            InputError: They cannot be made.
        """
