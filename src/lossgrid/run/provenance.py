"""The origin of a surface: settings, digests, software and machines; and whether a run may resume a surface."""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from lossgrid.errors import InputError
from lossgrid.evaluation import arithmetic
from lossgrid.machine.cores import processor
from lossgrid.origin import identity_of
from lossgrid.parallel import World, collective, gather, library
from lossgrid.run.equipment import Equipment
from lossgrid.run.nodes import versions
from lossgrid.run.recipe import Recipe, by_hand
from lossgrid.run.study import Study
from lossgrid.settings import RunConfig, recorded
from lossgrid.surface import Origin, Surface
from lossgrid.surface.grid import equally_spaced
from lossgrid.surface.identity import THERE_AND_NOW, differences, unlike
from lossgrid.surface.origin import Digests, RecordedRecipe
from lossgrid.wording import one_line, spans

log = logging.getLogger(__name__)


@collective
def describe(
    config: RunConfig,
    study: Study,
    digests: Digests,
    equipment: Equipment,
    recipe: Recipe,
    world: World,
    *,
    by_batch: bool = False,
) -> Origin:
    """Return the origin of a surface: settings, digests, versions, and the ranks by what they compute on."""
    device, threads = equipment.device, equipment.threads
    machines: dict[str, list[int]] = {}
    for rank, text in enumerate(gather(world, f"{world.host}: {device.name}, {threads} threads")):
        machines.setdefault(text, []).append(rank)
    return Origin(
        settings=config.model_dump(mode="json"),
        digests=digests,
        recipe=RecordedRecipe(**asdict(recipe)),
        device_type=device.type,
        threads=threads,
        command=sys.argv,
        writer=equipment.writer,
        by_batch=by_batch,
        weights=study.weights,
        sources=dict(study.sources),
        arithmetic=arithmetic.current(),
        processors=sorted(set(gather(world, processor()))),
        ranks=world.size,
        machines={text: spans(ranks) for text, ranks in machines.items()},
        versions={
            **versions(config),
            "python": platform.python_version(),
            "mpi": library(world),
        },
    )


def settings_to_resume(old: Surface, config: RunConfig) -> RunConfig:
    """Return the settings for resuming a surface: settings that the user left open get the values of the surface.

    Raises:
        InputError: The surface is of another run; the text names all settings that differ.
    """
    if any(axis is not None and equally_spaced(axis) is None for axis in (old.alpha, old.beta)):
        raise InputError(
            f"--out: {config.out} was merged, and its coordinates are not equally spaced, as those of a run are; "
            "choose another file, and merge again"
        )
    theirs = recorded(old.origin.settings)
    if config.label not in (None, theirs.label):
        log.warning("%s keeps its label: %s", config.out, "none" if theirs.label is None else one_line(theirs.label))
    config = config.going_on_with(theirs)
    there = theirs.identity() | old.origin.recipe.told()
    now = config.identity() | by_hand(config)  # the rest of the recipe is that of the file
    _refuse(config.out, unlike(there, now, THERE_AND_NOW))
    size = old.origin.recipe.batch_size
    if not isinstance(size, int) or size < 1:
        raise InputError(f"--out: {config.out} tells batches of {size} samples, which none has; choose another file")
    return config


def refuse_other_contents(old: Surface, ours: Digests, device_type: str, path: Path) -> None:
    """Refuse to resume a surface of another network, of other directions or data, or of another type of device.

    Args:
        old: The surface, with the settings of this run.
        ours: The digests of this run.
        device_type: ``cpu`` or ``cuda``.
        path: The file, for the error.

    Raises:
        InputError: Digests or device type differ; the text names all differences.
    """
    theirs = identity_of(old)
    _refuse(path, differences(theirs, replace(theirs, digests=ours, device_type=device_type), words=THERE_AND_NOW))


def _refuse(path: Path, found: Sequence[str]) -> None:
    if found:
        raise InputError(
            f"--out: {path} holds another run: {'; '.join(found)}; choose another file, or --overwrite to replace it"
        )
