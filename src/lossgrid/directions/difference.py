"""The direction from one trained network to another."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lossgrid.directions.entries import Entries, can_move, exact
from lossgrid.errors import InputError


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
