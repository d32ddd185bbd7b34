"""The path of a run, on one page: settings in, a surface file out; where torch, MPI and HDF5 meet."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from typing import Any

import numpy as np

from lossgrid import data, store
from lossgrid.config import RunConfig
from lossgrid.errors import InputError, RankError
from lossgrid.evaluation import (
    USUAL_BATCH,
    Evaluator,
    Place,
    choose_place,
    freed_memory_kept,
    own_cores,
    share_threads,
    wants_channels_last,
)
from lossgrid.grid import Grid, segments
from lossgrid.parallel import (
    Progress,
    Stop,
    Task,
    World,
    broadcast,
    collectively,
    coordinate,
    end_of_job,
    gather,
    loaded_libraries,
    on_root,
)
from lossgrid.problem import DESCRIBES_DIRECTIONS, Problem, load_problem, save_directions
from lossgrid.progress import ProgressDisplay, duration
from lossgrid.provenance import describe, refuse_other_contents, refuse_other_settings
from lossgrid.recipe import choose_recipe
from lossgrid.rounding import measure_rounding
from lossgrid.status import lines_of_ranks, summarise

log = logging.getLogger(__name__)
BEFORE_END_OF_JOB = 10.0  # s in which files are closed and the job script says what is to come


def run(
    config: RunConfig,
    world: World,
    stop: Stop,
    *,
    load: Callable[[RunConfig], Problem] = load_problem,
    began: float | None = None,
) -> bool:
    """Compute the surface ``config`` asks for, or what is missing of it; return whether it is complete.

    Collective: all ranks of ``world`` must call this, with equal settings, inside :func:`lossgrid.parallel.guarded`.

    Args:
        config: The settings.
        world: The ranks.
        stop: Tells whether this rank was asked to stop.
        load: Loads the network, the data and the directions.
        began: ``time.monotonic()`` at the start of the program, from which the time limit counts; now by default.

    Raises:
        InputError: The input cannot work; nothing has been touched.
        RankError: Some ranks cannot do their part; what was done stays.
    """
    began = time.monotonic() if began is None else began
    with ExitStack() as held:
        old = on_root(world, lambda: take_over(config, held))
        writer = collectively(world, lambda: choose_writer(config.writer, world))
        place = collectively(world, lambda: choose_place(config.device, config.precision, local_rank=world.local_rank))
        threads = divide_cores(world)
        log.info("%s, %d threads, %s", place.name, threads, config.precision)
        left = time_left(config, began, stop)
        if is_over(world, left):
            return False
        problem = collectively(world, lambda: load(config))
        same_everywhere(world, problem.digests)
        if old is not None:
            on_root(world, lambda: refuse_other_contents(old, problem.digests, place.device.type, config.out))
        evaluator = collectively(world, lambda: make_evaluator(config, problem, place, share=world.local_size))
        held.enter_context(freed_memory_kept())
        recipe = choose_recipe(
            config, evaluator, None if old is None else old.provenance.get("recipe"), world,
            points=len(config.grid) if old is None else old.pending, seconds_left=left,
        )  # fmt: skip
        provenance = describe(problem, place, threads, writer, recipe, world)
        pending, identity = on_root(world, lambda: open_book(config, problem, evaluator, provenance, old))
        complete, rounding = compute(config, world, evaluator, pending, writer, stop, left, identity), None
        if complete and not (old is not None and old.complete):
            complete, rounding = measure_rounding(config, evaluator, world, left)
        on_root(world, lambda: close_book(config, complete, rounding, stop, identity))
    return complete


def take_over(config: RunConfig, held: ExitStack) -> store.Surface | None:
    """Lock the output and return what it holds; None where it is to be made. Cheap, so it comes before all loading.

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
        store.refuse_too_large(path, len(config.grid), 2 * len(config.splits))
    held.enter_context(store.locked(path))
    if not path.exists():
        return None
    old = store.read(path)  # also to be replaced it must be a surface: nothing else is ever overwritten
    if config.overwrite:
        return None
    refuse_other_settings(old, config)
    if not (old.complete or os.access(path, os.W_OK)):
        raise InputError(f"--out: {path} cannot be written; make it writable to go on with it")
    return old


def choose_writer(choice: str, world: World) -> str:
    """Return ``parallel`` where all ranks can write the file themselves, ``root`` where rank 0 writes for all.

    Raises:
        InputError: ``parallel`` is asked for and this h5py cannot.
    """
    able = store.has_parallel_hdf5() and world.comm is not None
    if choice == "parallel" and not able:
        raise InputError("--writer parallel: this h5py has no MPI; build it as jobs/setup.sh does or use --writer root")
    if able and choice != "root" and len(loaded_libraries()) > 1:
        raise InputError(
            f"h5py and mpi4py were built with different MPIs ({' and '.join(loaded_libraries())}); build h5py as "
            "jobs/setup.sh does, or use --writer root"
        )
    return "parallel" if able and choice != "root" else "root"


def divide_cores(world: World) -> int:
    """Give this rank its part of the CPU threads of its node and return how many these are.

    Collective: all ranks of ``world`` must call this.
    """
    neighbours = [cores for host, cores in gather(world, (world.host, own_cores())) if host == world.host]
    return share_threads(neighbours, world.local_rank)


def make_evaluator(config: RunConfig, problem: Problem, place: Place, *, share: int) -> Evaluator:
    """Bring the network and the data to the device of this rank and try them on the first batch.

    Args:
        config: The settings.
        problem: The network, which is taken over, the data and the directions.
        place: The device.
        share: How many ranks take of the same memory.

    Raises:
        InputError: The network, the data and the loss do not fit each other.
    """
    channels_last = wants_channels_last(problem.model)
    batches = {
        name: data.place(
            split,
            device=place.device,
            dtype=place.dtype,
            batch_size=USUAL_BATCH if config.batch_size == "auto" else config.batch_size,
            channels_last=channels_last,
            share=share,
        )
        for name, split in problem.splits.items()
    }
    evaluator = Evaluator(problem.model, batches, problem.objectives, place, delta=problem.delta, eta=problem.eta)
    if not evaluator.check(config.model):
        log.warning("model %s gives other outputs for the same inputs: the surface will be noisy", config.model)
    return evaluator


def same_everywhere(world: World, digests: Mapping[str, Any]) -> None:
    """Make sure that all ranks hold the same network, directions and data, to the bit.

    Collective: all ranks of ``world`` must call this.
    """
    expected = broadcast(world, dict(digests))

    def compare() -> None:
        different = [name for name in expected if digests[name] != expected[name]]
        if different:
            raise RankError(f"{', '.join(different)} differ from those of rank 0: does every node see the same files?")

    collectively(world, compare)


def open_book(
    config: RunConfig,
    problem: Problem,
    evaluator: Evaluator,
    provenance: Mapping[str, Any],
    old: store.Surface | None,
) -> tuple[np.ndarray[Any, Any], store.Identity]:
    """Make the file where there is none; return which points are pending, ``(n_beta, n_alpha)``, and which file it is.

    Raises:
        InputError: The file cannot be made.
        RankError: The old one was replaced in the meantime.
    """
    if config.save_directions is not None:
        about = config.model_dump(mode="json", include=DESCRIBES_DIRECTIONS)
        made = (problem.delta, problem.eta)
        save_directions(config.save_directions, problem.model, *made, about=about, overwrite=config.overwrite)
    if old is not None:
        if old.provenance["threads"] != provenance["threads"]:
            log.warning(
                "%s was computed with %s CPU threads per rank, now there are %s: last bits may differ",
                config.out, old.provenance["threads"], provenance["threads"],
            )  # fmt: skip
        pending = np.isin(old.status, (store.PENDING, store.FAILED)).reshape(config.grid.rows)
        log.info("resuming %s: %d of %d points are pending", config.out, np.count_nonzero(pending), pending.size)
        return pending, store.identify(config.out, old.id)
    metrics = [store.Metric(column.name, column.units) for column in evaluator.columns]
    settings = config.model_dump(mode="json")
    identity = store.create(
        config.out, config.grid, metrics, config=settings, provenance=provenance, overwrite=config.overwrite
    )
    log.info(
        "computing %s: %s points, writer %s", config.out, " x ".join(map(str, config.grid.shape)), provenance["writer"]
    )
    return np.ones(config.grid.rows, dtype=bool), identity


def compute(
    config: RunConfig,
    world: World,
    evaluator: Evaluator,
    pending: np.ndarray[Any, Any],
    writer: str,
    stop: Stop,
    seconds_left: Callable[[], float],
    identity: store.Identity,
) -> bool:
    """Compute the pending points into the file; return whether all are done.

    Collective: all ranks of ``world`` must call this.
    """
    total = int(np.count_nonzero(pending))
    if total == 0:
        return True
    metrics = [store.Metric(column.name, column.units) for column in evaluator.columns]
    parallel = writer == "parallel"
    slowest = on_root(world, lambda: open_session(config, world, identity))
    file = (
        store.SurfaceFile(config.out, metrics, world.comm if parallel else None) if parallel or world.is_root else None
    )
    task = make_task(config.grid, evaluator, file, collects=not parallel, stop=stop)
    began = time.monotonic()
    with ProgressDisplay(total) if world.is_root else nullcontext() as display:

        def show(progress: Progress) -> None:
            if display is not None:
                display.update(progress.done)
            if file is not None:
                file.look()

        complete = coordinate(world, segments(pending), task, time_left=seconds_left, slowest=slowest, on_progress=show)
    # Not by a ``with``: closing is collective, and a rank that fails must not wait in it for the others.
    if file is not None:
        file.close()
    on_root(world, lambda: close_session(identity, seconds=time.monotonic() - began))
    return complete


def open_session(config: RunConfig, world: World, identity: store.Identity) -> float:
    """Note in the file that its ranks begin; return the seconds of the costliest point so far, 0 for a new one."""
    identity.verify()
    store.begin_session(config.out, ranks=world.size)
    return float(np.nanmax(store.read(config.out).seconds, initial=0.0))


def close_session(identity: store.Identity, *, seconds: float) -> None:
    """Note in the file, if it still is that of this run, how long its ranks computed."""
    identity.verify()
    store.end_session(identity.path, seconds=seconds)


def make_task(
    grid: Grid,
    evaluator: Evaluator,
    file: store.SurfaceFile | None,
    *,
    collects: bool,
    stop: Stop,
) -> Task:
    """Say what a rank does with a point: evaluate it, and write it where this rank has something to write into."""
    alphas = grid.alpha.values()
    betas = np.zeros(1) if grid.beta is None else grid.beta.values()

    def point(row: int, column: int, tick: Callable[[], None]) -> np.ndarray[Any, Any]:
        return evaluator.point(float(alphas[column]), float(betas[row]), tick=tick)

    def leave_to_root(segment: Any, values: Any, *, rank: int) -> None:
        """The results reach the file through root."""

    write = leave_to_root if file is None else file.write
    return Task(point, write, collect=write if collects else None, wants_stop=lambda: bool(stop))


def time_left(config: RunConfig, began: float, stop: Stop) -> Callable[[], float]:
    """Return how many seconds the time limit and the batch system leave, none after a stop signal, as a function."""
    end = math.inf if config.time_limit is None else began + config.time_limit
    job_ends = end_of_job()
    if job_ends is not None:
        left = job_ends - time.time()
        end = min(end, time.monotonic() + left - BEFORE_END_OF_JOB)
        log.info("this job ends in %s, the run before that", duration(left))
    return lambda: 0.0 if stop else end - time.monotonic()


def is_over(world: World, seconds_left: Callable[[], float]) -> bool:
    """Tell whether no rank can go on to load anything: one was told to stop, or there is no time left.

    Collective: all ranks of ``world`` must call this.
    """
    over = min(gather(world, seconds_left())) <= 0
    if over:
        log.warning("stopped by a signal or the time limit before anything was loaded; run the same command again")
    return over


def close_book(
    config: RunConfig, complete: bool, rounding: Mapping[str, Any] | None, stop: Stop, identity: store.Identity
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
    bad = int(np.count_nonzero(surface.status == store.NOT_FINITE))
    if bad:
        log.warning("%d %s a loss that is not finite", bad, "point has" if bad == 1 else "points have")
    if config.plot and complete:
        from lossgrid import plot  # here, or every rank of every run waited for matplotlib

        for picture in plot.write_all(surface, config.out.with_suffix(""), overwrite=True):
            log.info("drew %s", picture)
