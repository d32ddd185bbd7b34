"""Whether surfaces belong together, or a run goes on with one, by what their files tell of their origin."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.settings import FunctionConfig, RunConfig, recorded, recorded_function
from lossgrid.settings.option import names_of
from lossgrid.surface import Surface
from lossgrid.surface.grid import equally_spaced
from lossgrid.surface.identity import Identity, differences

log = logging.getLogger(__name__)

Values = npt.NDArray[np.float64]


def refuse_unknown_origin(surface: Surface) -> None:
    """Refuse a surface that does not tell all that decides whether others, or a run, may go with it.

    Raises:
        InputError: Something is missing; the text names it.
    """
    if missing := surface.origin.untold():
        raise InputError(
            f"{surface.path} does not tell {', '.join(missing)}, by which it is known what it holds; leave it out"
        )
    for split in surface.origin.splits or ():
        if split not in (surface.origin.digests.data or {}):
            raise InputError(f"{surface.path} has no digest of the data of split {split}; leave it out")


def identity_of(surface: Surface) -> Identity:
    """Return what decides the values of a surface, which must tell its origin.

    The settings say which of them decide values; a surface alone does not know. So this is no method of it.

    Raises:
        InputError: Its settings are none that this lossgrid knows.
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
    """Return the settings with which ``lossgrid run`` computes a surface again, as JSON types; without what is unset.

    What was left open of how points are evaluated is as it was chosen, as last bits depend on it. Leave to overwrite
    was given once, and is not given again.

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
    of_file = names_of(RunConfig, "directions") - {"directions"} if config.directions != "random" else frozenset()
    settings = config.model_dump(mode="json", exclude={"overwrite", *of_file})
    return {name: value for name, value in settings.items() if value not in (None, [], {})}


def refuse_strangers(surfaces: Sequence[Surface]) -> None:
    """Refuse surfaces that are not of one network, with the same directions, data and loss.

    Raises:
        InputError: One does not belong to those before it; the text names all that differs.
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
    """Say where points were evaluated in other ways, on which their last bits depend."""
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
    """Return the coordinates of a surface by the name of their axis, alpha first."""
    return {"alpha": surface.alpha} if surface.beta is None else {"alpha": surface.alpha, "beta": surface.beta}
