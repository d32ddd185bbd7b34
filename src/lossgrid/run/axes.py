"""The directions of a run, one for each axis of its grid: making them, and writing them to a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lossgrid import data, directions, store
from lossgrid.data.digest import digest
from lossgrid.directions import Around, Choice, DirectionSource, Entries, moving, source_of
from lossgrid.errors import InputError
from lossgrid.parallel import World, collective, collectively
from lossgrid.run.common import made_once
from lossgrid.run.study import load_model
from lossgrid.settings import DirectionsConfig
from lossgrid.surface.origin import Moved

MOST_NAMES = 200  # of the moved entries that a file lists; the patterns of its settings tell of all


@dataclass(frozen=True)
class Axes:
    """The directions of a grid.

    Attributes:
        delta: Direction of the alpha axis, by entry, float64 or complex128, on the CPU.
        eta: Direction of the beta axis; None for a line.
        digests: Their digests; None for that of the beta axis of a line.
    """

    delta: Entries
    eta: Entries | None
    digests: tuple[str, str | None]

    @classmethod
    def of(cls, delta: Entries, eta: Entries | None = None) -> Axes:
        """Return the directions with their digests."""
        return cls(delta, eta, (digest(delta), None if eta is None else digest(eta)))

    def without_numbers(self) -> Axes:
        """Return what remains when the numbers, 8 or 16 bytes for each, are needed no longer."""
        return replace(self, delta={}, eta=None)

    def moved(self, names: Sequence[str]) -> Moved:
        """Return what is told of the entries ``names``, which the axes move."""
        entries = {**(self.eta or {}), **self.delta}
        sizes = [entries[name].numel() * (2 if entries[name].is_complex() else 1) for name in names]
        return Moved(len(names), sum(sizes), tuple(names[:MOST_NAMES]))


@collective
def make_axes(
    source: DirectionSource,
    model: torch.nn.Module,
    splits: Mapping[str, data.Split],
    world: World,
    *,
    axes: int,
    moves: frozenset[str] | None = None,
) -> Axes:
    """Return the directions that ``source`` makes for a grid with 1 or 2 axes.

    The first rank of each node makes and digests them; all ranks do where the function of a user makes them. ``moves``
    are the names of the entries that may move; None if all may.

    Raises:
        InputError: The directions cannot be made, or all numbers of one are 0.
    """

    def make() -> Axes:
        made = source.make(Around(model, splits, world, moves), axes)
        refuse_nothing(made, moves)
        return Axes.of(*made[:axes])

    return collectively(world, make) if source.needs_all_ranks else made_once(world, "the directions", make)


def refuse_nothing(made: Sequence[Entries], moves: frozenset[str] | None) -> None:
    """Refuse directions that move nothing.

    Raises:
        InputError: All numbers of one are 0.
    """
    for axis, direction in zip(("alpha", "beta"), made, strict=False):
        if not any(bool(tensor.any()) for tensor in direction.values()):
            which = "the network has" if moves is None else "the entries that are chosen to move have"
            raise InputError(
                f"the direction of {axis} moves nothing: every number of it is 0, or {which} no tensors of two "
                "or more dimensions; give --perturb-bias-and-norm or another direction"
            )


def write_direction_file(config: DirectionsConfig, world: World) -> None:
    """Make the directions of the settings and write them to ``config.out``.

    Raises:
        InputError: The network, its checkpoint or the directions are wrong, or the file cannot be written.
    """
    source = source_of(config)
    samples = None if source.needs_data else 1  # one sample gives the shapes
    splits = data.load(config.data, config.data_arg, splits=("train",), max_samples=samples)
    model = load_model(config, data.facts(splits), splits)
    moves = moving(model, Choice(**config.choice))
    made = make_axes(source, model.requires_grad_(False), splits, world, axes=config.axes, moves=moves)
    save_directions(config.out, model, made, about=config.about_directions(), overwrite=config.overwrite)


def save_directions(
    path: Path, model: torch.nn.Module, axes: Axes, *, about: Mapping[str, Any], overwrite: bool
) -> None:
    """Write directions to a file that lossgrid and the reference tool read; keep a file with equal directions.

    The file has the tool's type "weights" if only parameters move, else its type "states".

    Raises:
        InputError: The file exists with other contents and ``overwrite`` is not set, or it cannot be written.
    """
    made = [axes.delta] if axes.eta is None else [axes.delta, axes.eta]
    arrays = [{name: tensor.numpy() for name, tensor in direction.items()} for direction in made]
    if path.exists() and not overwrite and _holds(path, arrays):
        return
    parameters = directions.parameters(model)
    is_weights = all(name in parameters for direction in made for name in direction)
    entries = parameters if is_weights else directions.states(model)
    shapes = {name: tuple(tensor.shape) for name, tensor in entries.items()}
    store.write_directions(path, arrays, entries=shapes, about=about, overwrite=overwrite)


def _holds(path: Path, arrays: list[dict[str, Any]]) -> bool:
    stored = store.read_directions(path)
    return len(stored) == len(arrays) and all(
        one.names == list(wanted) and all((a == b).all() for a, b in zip(one.arrays, wanted.values(), strict=True))
        for one, wanted in zip(stored, arrays, strict=True)
    )
