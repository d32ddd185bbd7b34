"""The origin of a surface, as its file tells it: network, directions, data and settings that decide its values."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.settings import RunConfig, recorded
from lossgrid.settings.option import names_of
from lossgrid.surface import Surface

log = logging.getLogger(__name__)

AXES = ("alpha", "beta")
CONTENTS = {"theta": "the network (model or checkpoint)", "delta": "direction delta", "eta": "direction eta"}

Values = npt.NDArray[np.float64]


def refuse_unknown_origin(surface: Surface) -> None:
    """Refuse a surface that does not tell all that decides whether others, or a run, may go with it.

    Raises:
        InputError: Something is missing; the text names it.
    """
    told = surface.provenance
    missing = [name for name in ("digests", "device_type", "recipe", "threads", "command") if name not in told]
    missing += [f"digests.{part}" for part in (*CONTENTS, "data") if part not in told.get("digests", {})]
    missing += [
        f"recipe.{part}" for part in ("variant", "batch_size", "cuda_graphs") if part not in told.get("recipe", {})
    ]
    missing += [f"config.{name}" for name in ("splits", "precision") if name not in surface.config]
    if missing:
        raise InputError(
            f"{surface.path} does not tell {', '.join(missing)}, by which it is known what it holds; leave it out"
        )
    for split in surface.config["splits"]:
        if split not in told["digests"]["data"]:
            raise InputError(f"{surface.path} has no digest of the data of split {split}; leave it out")


def refuse_strangers(surfaces: Sequence[Surface]) -> None:
    """Refuse surfaces that are not of one network, with the same directions, data and loss.

    Raises:
        InputError: One does not belong to those before it; the text names all that differs.
    """
    first = surfaces[0]
    holders: dict[str, Surface] = {}
    for surface in surfaces:
        found = differences(surface, first)
        for split, digest in digests(surface)["data"].items():
            holder = holders.setdefault(split, surface)
            if digests(holder)["data"][split] != digest:
                found.append(f"the data of split {split} differ from those in {holder.path}")
        if found:
            raise InputError(
                f"{surface.path} does not belong to {first.path}: {'; '.join(found)}; leave one of them out"
            )


def differences(surface: Surface, first: Surface) -> list[str]:
    """Return in words what makes ``surface`` one of another run than ``first``, but for axes and splits."""
    theirs, ours = settings(surface), settings(first)
    contents = [part for part in CONTENTS if digests(surface)[part] != digests(first)[part]]
    found = []
    if surface.is_line != first.is_line:
        found = [f"it is a {'line' if surface.is_line else 'plane'}, not a {'line' if first.is_line else 'plane'}"]
        contents = [part for part in contents if part != "eta"]
    # How directions were made does not matter where they are the same, as with a file that holds random ones.
    free = frozenset() if contents else names_of(RunConfig, "directions")
    found += [
        f"{name.replace('_', '-')} is {_short(theirs[name])}, not {_short(ours[name])}"
        for name in ours
        if theirs[name] != ours[name] and name not in free
    ]
    return found + [f"{CONTENTS[part]} differs" for part in contents]


def settings(surface: Surface) -> dict[str, Any]:
    """Return the settings that decide the values of a surface, but for axes and splits, and the kind of device."""
    ranges = dict.fromkeys(axes_of(surface), "0:0:1")  # those of a merged surface may be none
    identity = recorded({**surface.config, **ranges}).identity()
    own = {name: value for name, value in identity.items() if name not in (*AXES, "splits")}
    # Where the outputs of a sample depend on its batch, so does the surface.
    batch = surface.provenance["recipe"]["batch_size"] if surface.provenance.get("by_batch") is True else None
    return {**own, "device": surface.provenance["device_type"], "batch_size": batch}


def warn_of_other_ways(surfaces: Sequence[Surface]) -> None:
    """Say where points were evaluated in other ways, on which their last bits depend."""
    first, *others = surfaces
    if other := [surface for surface in others if _way(surface) != _way(first)]:
        log.warning(
            "last bits may differ: %s is of %s; %s of %s%s",
            first.path, _way(first), other[0].path, _way(other[0]),
            f"; {len(other) - 1} more of other ways than the first" if len(other) > 1 else "",
        )  # fmt: skip
    sources = first.provenance.get("sources")
    if other := [surface for surface in others if surface.provenance.get("sources") != sources]:
        log.warning(
            "the source of the network, the loss or the data was another one for %s than for %s: make sure they are "
            "the same functions", other[0].path, first.path,
        )  # fmt: skip


def _way(surface: Surface) -> str:
    recipe, threads = surface.provenance["recipe"], surface.provenance["threads"]
    graphs = "with" if recipe["cuda_graphs"] else "no"
    return f"variant {recipe['variant']}, batches of {recipe['batch_size']}, {graphs} CUDA graphs, {threads} threads"


def axes_of(surface: Surface) -> dict[str, Values]:
    """Return the coordinates of a surface by the name of their axis, alpha first."""
    return {"alpha": surface.alpha} if surface.beta is None else {"alpha": surface.alpha, "beta": surface.beta}


def digests(surface: Surface) -> Mapping[str, Any]:
    """Return what identifies network, directions and data of a surface."""
    found: Mapping[str, Any] = surface.provenance["digests"]
    return found


def _short(value: Any) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
