"""Comparing the origins of surfaces: whether they belong together, or a run may resume one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.settings import FunctionConfig, RunConfig, recorded, recorded_function
from lossgrid.settings.directions import CHOICE
from lossgrid.settings.option import names_of
from lossgrid.surface import Surface
from lossgrid.surface.grid import equally_spaced
from lossgrid.surface.identity import Identity, differences

log = logging.getLogger(__name__)

Values = npt.NDArray[np.float64]


def refuse_unknown_origin(surface: Surface) -> None:
    """Raise InputError if the origin of a surface lacks entries that decide its values.

    Raises:
        InputError: Entries are missing; the text names them.
    """
    if missing := surface.origin.untold():
        raise InputError(
            f"{surface.path} does not tell {', '.join(missing)}, by which it is known what it holds; leave it out"
        )
    for split in surface.origin.splits or ():
        if split not in (surface.origin.digests.data or {}):
            raise InputError(f"{surface.path} has no digest of the data of split {split}; leave it out")


def identity_of(surface: Surface) -> Identity:
    """Return the identity of a surface, which decides its values; its origin must be known.

    Only the settings know which of them decide values. So this is no method of the surface.

    Raises:
        InputError: This lossgrid does not know its settings.
    """
    told = surface.origin
    decide = recorded_function(told.settings).identity()
    made = {name: decide.pop(name) for name in names_of(FunctionConfig, "directions")}
    del decide["splits"]
    return Identity(
        settings=decide,
        made=made,
        is_line=surface.is_line,
        device_type=told.device_type,
        batch_size=told.recipe.batch_size if told.by_batch else None,
        digests=told.digests,
    )


def settings_of(surface: Surface) -> dict[str, Any]:
    """Return the settings with which ``lossgrid run`` computes a surface again, as JSON types, without unset ones.

    Choices of the recipe that the user left open are set as in the run, as last bits depend on them. ``overwrite`` is
    left out.

    Raises:
        InputError: No run has such settings; the text says why.
    """
    told, path = surface.origin, surface.path
    if told.imported is not None:
        raise InputError(f"{path} was imported from a file of another tool, which does not tell its settings")
    if any(equally_spaced(values) is None for values in axes_of(surface).values()):
        raise InputError(
            f"{path} was merged, and its coordinates are not equally spaced, as those of a run are; ask the files "
            "it was merged from"
        )
    if told.weights == "given" or told.setting("data") == "given":
        raise InputError(f"{path} was computed from Python, of a network and data that no settings name")
    graphs = {True: "yes", False: "no"}
    recipe = {name: graphs[value] if isinstance(value, bool) else value for name, value in told.recipe.told().items()}
    recipe.pop("about", None)
    try:
        config = recorded({**told.settings, **recipe})
    except InputError as error:
        raise InputError(f"{path} has settings that this lossgrid does not take: {error}") from None
    of_file = names_of(RunConfig, "directions") - {"directions", *CHOICE} if config.directions != "random" else []
    settings = config.model_dump(mode="json", exclude={"overwrite", *of_file})
    return {name: value for name, value in settings.items() if value not in (None, [], {})}


def refuse_strangers(surfaces: Sequence[Surface]) -> None:
    """Raise InputError unless all surfaces have the same network, directions, data and loss.

    Raises:
        InputError: One does not belong to those before it; the text names all differences.
    """
    first = surfaces[0]
    known = identity_of(first)
    holders: dict[str, object] = {}
    for surface in surfaces:
        own = identity_of(surface)
        if found := differences(own, known, holders=holders):
            raise InputError(
                f"{surface.path} does not belong to {first.path}: {'; '.join(found)}; leave one of them out"
            )
        data = {**(own.digests.data or {}), **(known.digests.data or {})}
        known = replace(known, digests=replace(known.digests, data=data))
        holders = {split: holders.get(split, surface.path) for split in data}


def warn_of_other_ways(surfaces: Sequence[Surface]) -> None:
    """Log a warning if surfaces were evaluated in different ways, as last bits depend on them."""
    first, *others = surfaces
    if other := [surface for surface in others if _way(surface) != _way(first)]:
        log.warning(
            "last bits may differ: %s is of %s; %s of %s%s",
            first.path, _way(first), other[0].path, _way(other[0]),
            f"; {len(other) - 1} more of other ways than the first" if len(other) > 1 else "",
        )  # fmt: skip
    if other := [surface for surface in others if surface.origin.sources != first.origin.sources]:
        log.warning(
            "the source of the network, the loss or the data was another one for %s than for %s: make sure they are "
            "the same functions", other[0].path, first.path,
        )  # fmt: skip


def _way(surface: Surface) -> str:
    recipe, threads = surface.origin.recipe, surface.origin.threads
    graphs = "with" if recipe.cuda_graphs else "no"
    return f"variant {recipe.variant}, batches of {recipe.batch_size}, {graphs} CUDA graphs, {threads} threads"


def axes_of(surface: Surface) -> dict[str, Values]:
    """Return name of the axis -> coordinates, shape ``(n,)``, float64; alpha first."""
    return {"alpha": surface.alpha} if surface.beta is None else {"alpha": surface.alpha, "beta": surface.beta}
