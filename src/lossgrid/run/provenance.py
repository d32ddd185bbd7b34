"""The origin of a surface: what it was computed from, with and on; and whether a run would go on with the same."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lossgrid.errors import InputError
from lossgrid.evaluation import arithmetic
from lossgrid.machine.cores import processor
from lossgrid.parallel import World, gather, library
from lossgrid.run.equipment import Equipment
from lossgrid.run.recipe import Recipe, by_hand
from lossgrid.run.study import Study
from lossgrid.settings import RunConfig, recorded
from lossgrid.surface import Surface
from lossgrid.surface.grid import equally_spaced
from lossgrid.wording import spans

PACKAGES = ("lossgrid", "torch", "numpy", "h5py", "mpi4py")


def describe(
    study: Study,
    digests: Mapping[str, Any],
    equipment: Equipment,
    recipe: Recipe,
    world: World,
    *,
    by_batch: bool = False,
) -> dict[str, Any]:
    """Return the provenance of a surface, as JSON types: digests, versions, and the ranks by what they compute on.

    Collective: all ranks of ``world`` must call this.
    """
    machines: dict[str, list[int]] = {}
    place, threads = equipment.place, equipment.threads
    for rank, text in enumerate(gather(world, f"{world.host}: {place.name}, {threads} threads")):
        machines.setdefault(text, []).append(rank)
    return {
        "digests": dict(digests),
        "sources": dict(study.sources),
        "weights": study.weights,
        "by_batch": by_batch,
        "arithmetic": arithmetic.current(),
        "processors": sorted(set(gather(world, processor()))),
        "device_type": place.device.type,
        "threads": threads,
        "writer": equipment.writer,
        "recipe": asdict(recipe),
        "ranks": world.size,
        "machines": {text: spans(ranks) for text, ranks in machines.items()},
        "versions": {
            **{name: version(name) for name in PACKAGES},
            "python": platform.python_version(),
            "mpi": library(world),
        },
        "command": sys.argv,
    }


def going_on(old: Surface, config: RunConfig) -> RunConfig:
    """Return the settings with which a run goes on with a surface: what was left open is as the surface has it.

    Raises:
        InputError: Its settings say that it is another run; the text names all that differ.
    """
    if any(axis is not None and equally_spaced(axis) is None for axis in (old.alpha, old.beta)):
        raise InputError(
            f"--out: {config.out} was merged, and its coordinates are not equally spaced, as those of a run are; "
            "choose another file, and merge again"
        )
    theirs = recorded(old.config)
    config = config.going_on_with(theirs)
    then, now = theirs.identity(), config.identity()
    now |= by_hand(config)  # what is left open stays as it was chosen for the file
    then |= old.provenance.get("recipe", {})
    _refuse(
        config.out,
        [
            f"{name.replace('_', '-')} is {_short(then[name])} there and {_short(now[name])} now"
            for name in now
            if then[name] != now[name]
        ],
    )
    return config


def refuse_other_contents(old: Surface, ours: Mapping[str, Any], device_type: str, path: Path) -> None:
    """Refuse to go on with a surface computed from another network, other directions or data, or on another device.

    Args:
        old: The surface.
        ours: The digests of this run.
        device_type: ``cpu`` or ``cuda``.
        path: The file, for the error.

    Raises:
        InputError: They differ; the text names all that do.
    """
    parts = {"theta": "the network (model or checkpoint)", "delta": "direction delta", "eta": "direction eta"}
    theirs = old.provenance["digests"]
    found = [f"{text} differs" for part, text in parts.items() if theirs[part] != ours[part]]
    found += [
        f"the data of split {split} differ" for split, own in ours["data"].items() if theirs["data"][split] != own
    ]
    if old.provenance["device_type"] != device_type:
        found.append(f"device is {old.provenance['device_type']} there and {device_type} now")
    _refuse(path, found)


def _refuse(path: Path, found: Sequence[str]) -> None:
    if found:
        raise InputError(
            f"--out: {path} holds another run: {'; '.join(found)}; choose another file, or --overwrite to replace it"
        )


def _short(value: Any) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
