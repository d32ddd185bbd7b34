"""The file of a run, as root sees it: locked, refused or taken over, begun, and closed with a report."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from lossgrid import store
from lossgrid.errors import InputError
from lossgrid.evaluation import Evaluator
from lossgrid.files import locked
from lossgrid.origin import refuse_unknown_origin
from lossgrid.parallel import Stop, World
from lossgrid.run.centre import about_weights, hint_where_missing
from lossgrid.run.problem import Problem, save_directions
from lossgrid.run.provenance import going_on
from lossgrid.settings import RunConfig
from lossgrid.surface import FAILED, NOT_FINITE, PENDING, Origin, Surface
from lossgrid.surface.summary import centre_of, lines_of_centre, lines_of_ranks, summarise
from lossgrid.wording import duration

log = logging.getLogger(__name__)


def take_over(config: RunConfig, held: ExitStack) -> tuple[RunConfig, Surface | None]:
    """Lock the output; cheap, so it comes before all loading.

    Returns:
        The settings, those that were left open as they are in the file; and what it holds, None where it is to be made.

    Raises:
        InputError: The file is in use, or not a surface, or of another run, or its folder cannot be written.
    """
    path = config.out
    if path.is_dir():
        raise InputError(f"--out: {path} is a folder; give a file such as {path / 'surface.h5'}")
    if not path.parent.is_dir():
        raise InputError(f"--out: folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"--out: folder {path.parent} cannot be written; choose another place")
    if config.overwrite or not path.exists():
        store.refuse_too_large(path, len(config.grid), (2 + len(config.metric)) * len(config.splits))
    held.enter_context(locked(path))
    if not path.exists():
        return config, None
    old = store.read(
        path, to_write=not config.overwrite
    )  # also to be replaced it must be a surface: nothing else is ever overwritten
    if config.overwrite:
        return config, None
    refuse_unknown_origin(old)
    config = going_on(old, config)
    if not (old.complete or os.access(path, os.W_OK)):
        raise InputError(f"--out: {path} cannot be written; make it writable to go on with it")
    return config, old


def open_book(
    config: RunConfig,
    problem: Problem,
    evaluator: Evaluator,
    origin: Origin,
    old: Surface | None,
) -> tuple[np.ndarray[Any, Any], store.Identity]:
    """Make the file where there is none; return which points are pending, ``(n_beta, n_alpha)``, and which file it is.

    Raises:
        InputError: The file cannot be made.
        RankError: The old one was replaced in the meantime.
    """
    if config.save_directions is not None:
        about = config.about_directions()
        made = (problem.delta, problem.eta)
        save_directions(config.save_directions, problem.model, *made, about=about, overwrite=config.overwrite)
    if (told := about_weights(problem.weights, config.model)) is not None:
        log.warning(told)
    hint_where_missing(config.grid)
    if old is not None:
        if old.origin.threads != origin.threads:
            log.warning(
                "%s was computed with %s CPU threads per rank, now there are %s: last bits may differ",
                config.out, old.origin.threads, origin.threads,
            )  # fmt: skip
        pending = np.isin(old.status, (PENDING, FAILED)).reshape(config.grid.rows)
        log.info("resuming %s: %d of %d points are pending", config.out, np.count_nonzero(pending), pending.size)
        for line in lines_of_centre(*centre_of(old)):
            log.info(line)
        return pending, store.identify(config.out, old.id)
    identity = store.create(
        config.out,
        config.grid,
        evaluator.quantities,
        config=origin.settings,
        provenance=origin.as_json(),
        overwrite=config.overwrite,
    )
    log.info("computing %s: %s points, writer %s", config.out, " x ".join(map(str, config.grid.shape)), origin.writer)
    return np.ones(config.grid.rows, dtype=bool), identity


def open_session(config: RunConfig, world: World, identity: store.Identity) -> float:
    """Note in the file that its ranks begin; return the seconds of the costliest point so far, 0 for a new one.

    Raises:
        RankError: The file is not that of this run any more.
    """
    identity.verify()
    store.begin_session(config.out, ranks=world.size)
    return float(np.nanmax(store.read(config.out).seconds, initial=0.0))


def close_session(identity: store.Identity, *, seconds: float) -> None:
    """Note in the file how long its ranks computed.

    Raises:
        RankError: The file is not that of this run any more.
    """
    identity.verify()
    store.end_session(identity.path, seconds=seconds)


def close_book(
    config: RunConfig,
    complete: bool,
    rounding: Mapping[str, Any] | None,
    stop: Stop,
    why_not_finite: Callable[[float, float], str | None],
    identity: store.Identity,
) -> None:
    """Mark a complete surface, report, draw.

    Raises:
        RankError: The file is not that of this run any more, or lacks points.
    """
    identity.verify()
    surface = store.read(config.out)
    if complete and not surface.complete:
        surface = store.finish(identity, rounding=rounding)
    seconds = float(np.nansum(surface.seconds))
    for line in lines_of_ranks(summarise(surface)["ranks"]):
        log.info(line)
    if complete:
        log.info("%s is complete: %d points, %s of computing", config.out, surface.status.size, duration(seconds))
    else:
        why = f"{stop.signal.name}" if stop.signal else "a stop signal or the time limit"
        log.warning(
            "stopped by %s with %d of %d points pending; run the same command again to go on",
            why, surface.pending, surface.status.size,
        )  # fmt: skip
    bad = int(np.count_nonzero(surface.status == NOT_FINITE))
    if bad:
        first = np.argwhere((surface.status == NOT_FINITE).reshape(config.grid.rows))[0]
        reason = why_not_finite(*config.grid.at(int(first[0]), int(first[1])))
        log.warning(
            "%d %s a loss that is not finite%s",
            bad,
            "point has" if bad == 1 else "points have",
            f": {reason}" if reason else "",
        )
    if config.plot and complete:
        from lossgrid import plot  # here, or every rank of every run waited for matplotlib

        for picture in plot.write_all(surface, config.out.with_suffix(""), overwrite=True):
            log.info("drew %s", picture)
