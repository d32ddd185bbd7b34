"""Directions of files: lossgrid's own, and both types of the reference tool (tomgoldstein/loss-landscape).

Directions given from Python are matched to the network's entries in the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lossgrid import store
from lossgrid.directions.entries import Entries, can_move, exact, parameters, states
from lossgrid.directions.source import Around
from lossgrid.errors import InputError


@dataclass(frozen=True)
class OfFile:
    """The directions of a file."""

    path: Path
    needs_data: bool = False
    needs_all_ranks: bool = False

    def make(self, around: Around, axes: int) -> list[Entries]:
        """Return the first ``axes`` directions of the file.

        Raises:
            InputError: The file does not exist, holds too few directions, or belongs to another network.
        """
        stored = store.read_directions(self.path)
        if len(stored) < axes:
            raise InputError(
                f"--directions: {self.path} holds one direction, and --beta needs a second; leave --beta out"
            )
        return [match(one.arrays, one.names, around.model, source=str(self.path)) for one in stored[:axes]]


@dataclass(frozen=True)
class Given:
    """Directions given from Python.

    Attributes:
        directions: Tensors by entry, for each axis.
        source: Their name in errors.
    """

    directions: Sequence[Mapping[str, torch.Tensor]]
    source: str = "directions"
    needs_data: bool = False
    needs_all_ranks: bool = False

    def make(self, around: Around, axes: int) -> list[Entries]:
        """Return the first ``axes`` of the directions.

        Raises:
            InputError: There are too few directions, or they belong to another network.
        """
        if len(self.directions) < axes:
            raise InputError(f"{self.source} holds {len(self.directions)}, and the grid has {axes} axes")
        return [
            match(arrays_of(one, source=f"{self.source}[{i}]"), list(one), around.model, source=f"{self.source}[{i}]")
            for i, one in enumerate(self.directions[:axes])
        ]


def arrays_of(direction: Mapping[str, Any], *, source: str) -> list[npt.NDArray[Any]]:
    """Return the tensors of a direction given from Python as arrays; floating-point types become float64.

    Raises:
        InputError: ``direction`` is not a dict of tensors by name.
    """
    if not isinstance(direction, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in direction.values()):
        raise InputError(f"{source}: expected a dict of tensors by entry, got a {type(direction).__name__}")
    tensors = [tensor.detach().cpu() for tensor in direction.values()]
    return [(tensor.to(exact(tensor)) if can_move(tensor) else tensor).numpy() for tensor in tensors]


def match(
    arrays: Sequence[npt.NDArray[Any]], names: Sequence[str] | None, model: torch.nn.Module, *, source: str
) -> Entries:
    """Return the tensors of a direction file by the entries of ``model``.

    Files of lossgrid hold the names. Files of the reference tool are in ``parameters()`` order (its type "weights") or
    in ``state_dict()`` order ("states"); the number of tensors decides which.

    Args:
        arrays: The tensors in the order of the file.
        names: Their names, or None.
        model: The network.
        source: The file, for errors.

    Returns:
        Name to direction, float64 or for complex entries complex128, on the CPU. Integer entries do not move and are
        left out.

    Raises:
        InputError: The file belongs to another network, or holds numbers that are not finite.
    """
    entries = states(model)
    if names is None:
        own = parameters(model)
        candidates = [list(own), list(entries)]
        names = next((order for order in candidates if len(order) == len(arrays)), None)
        if names is None:
            raise InputError(
                f"--directions: {source} is of another network: it holds {len(arrays)} tensors, expected {len(own)} "
                f"(parameters) or {len(entries)} (state dict)"
            )
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise InputError(f"--directions: {source} is damaged: it names {twice!r} twice")
    return _matched(dict(zip(names, arrays, strict=True)), entries, source)


def _matched(named: Mapping[str, npt.NDArray[Any]], entries: Mapping[str, torch.Tensor], source: str) -> Entries:
    direction: Entries = {}
    for name, array in named.items():
        if name not in entries:
            raise InputError(f"--directions: {source} is of another network: this one has no {name!r}")
        expected = entries[name]
        if array.size != expected.numel() or (array.ndim and array.shape != tuple(expected.shape)):
            raise InputError(
                f"--directions: {source} is of another network: {name} has shape {array.shape}, "
                f"expected {tuple(expected.shape)}"
            )
        if not can_move(expected):
            continue
        if array.dtype.kind not in ("biufc" if expected.is_complex() else "biuf"):
            kind = str(expected.dtype).removeprefix("torch.")
            raise InputError(f"--directions: {source} holds {array.dtype} in {name}, and the network has {kind} there")
        numbers = np.asarray(array, dtype=np.complex128 if expected.is_complex() else np.float64)
        tensor = torch.from_numpy(numbers).reshape(expected.shape)
        if not tensor.isfinite().all():
            raise InputError(f"--directions: {source} holds numbers in {name} that are not finite")
        direction[name] = tensor
    return direction
