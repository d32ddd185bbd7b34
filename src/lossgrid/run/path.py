"""The path of a run, on one page: settings in, a surface file out; where torch, MPI and HDF5 meet."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np

from lossgrid import data, store
from lossgrid.errors import InputError, RankError
from lossgrid.evaluation import (
    USUAL_BATCH,
    Evaluator,
    Place,
    arithmetic,
    choose_place,
    share_threads,
    twin_of,
    wants_channels_last,
)
from lossgrid.machine.allocator import freed_memory_kept
from lossgrid.machine.cores import own_cores
from lossgrid.machine.libraries import loaded_libraries
from lossgrid.parallel import Progress, Stop, Task, World, broadcast, collectively, coordinate, gather, on_root
from lossgrid.progress import ProgressDisplay
from lossgrid.run.audit import audit, refuse_other_function
from lossgrid.run.book import close_book, close_session, open_book, open_session, take_over
from lossgrid.run.budget import is_over, time_left
from lossgrid.run.centre import warn_of_guessing
from lossgrid.run.problem import Problem, load_problem
from lossgrid.run.provenance import describe, refuse_other_contents
from lossgrid.run.recipe import choose_recipe
from lossgrid.run.rounding import measure_rounding, refuse_rounding
from lossgrid.sampling import Everything
from lossgrid.settings import RunConfig
from lossgrid.surface import Grid
from lossgrid.surface.summary import lines_of_centre

log = logging.getLogger(__name__)


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
        config, old = on_root(world, lambda: take_over(config, held))
        writer = collectively(world, lambda: choose_writer(config.writer, world))
        place = collectively(world, lambda: choose_place(config.device, config.precision, local_rank=world.local_rank))
        threads = divide_cores(world)
        log.info("%s, %d threads, %s", place.name, threads, config.precision)
        left = time_left(config, began, stop)
        if is_over(world, left):
            return False
        problem = collectively(world, lambda: load(config))
        arithmetic.set_to(arithmetic.wanted(config.precision))  # again: what was imported may have changed it
        same_everywhere(world, asdict(problem.digests))
        recorded = None if old is None else old.origin.recipe.told()
        if old is not None:
            on_root(world, lambda: refuse_other_contents(old, problem.digests, place.device.type, config.out))
        evaluator = collectively(
            world, lambda: make_evaluator(config, problem, place, share=world.local_size, recorded=recorded)
        )
        held.enter_context(freed_memory_kept())
        recipe = choose_recipe(
            config, evaluator, recorded, world,
            points=len(config.grid) if old is None else old.pending, seconds_left=left,
        )  # fmt: skip
        collectively(world, lambda: arithmetic.refuse_other_arithmetic(config.precision))
        origin = describe(config, problem, place, threads, writer, recipe, world, by_batch=evaluator.fit.by_batch)
        steady = all(gather(world, evaluator.fit.deterministic))  # values of a noisy network cannot be found again
        if old is not None and steady:
            refuse_other_function(old, config, evaluator, origin, world)
        if old is None or old.pending:
            refuse_rounding(config, evaluator, world)
        pending, identity = on_root(world, lambda: open_book(config, problem, evaluator, origin, old))
        report = reporter(config, problem, evaluator)
        complete, rounding = compute(config, world, evaluator, pending, writer, stop, left, report, identity), None
        if complete and not (old is not None and old.complete):
            if steady:
                audit(config, evaluator, world)
            complete, rounding = measure_rounding(config, evaluator, world, left)
        on_root(world, lambda: close_book(config, complete, rounding, stop, evaluator.why_not_finite, identity))
    return complete


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


def make_evaluator(
    config: RunConfig, problem: Problem, place: Place, *, share: int, recorded: Mapping[str, Any] | None = None
) -> Evaluator:
    """Bring the network and the data to the device of this rank and try them on some batches.

    Args:
        config: The settings.
        problem: The network, which is taken over, the data and the directions.
        place: The device.
        share: How many ranks take of the same memory.
        recorded: The recipe of the file to go on with; None for a new one.

    Raises:
        InputError: The network, the data and the loss do not fit each other.
    """
    channels_last = wants_channels_last(problem.model)
    by_hand = config.batch_size if recorded is None else recorded["batch_size"]
    batches = {
        name: data.place(
            split,
            device=place.device,
            dtype=place.dtype,
            batch_size=USUAL_BATCH if by_hand == "auto" else by_hand,
            channels_last=channels_last,
            share=share,
        )
        for name, split in problem.splits.items()
    }
    twin = twin_of(problem.model)
    evaluator = Evaluator(
        problem.model, batches, problem.objectives, place,
        delta=problem.delta, eta=problem.eta, reach=config.grid.reach, more=problem.metrics,
    )  # fmt: skip
    fit = evaluator.check(config.model)
    if not fit.deterministic:
        log.warning("model %s gives other outputs for the same inputs: the surface will be noisy", config.model)
    elif twin is not None and not evaluator.follows_its_entries(twin):
        raise InputError(
            f"model {config.model}: moved, it computes other outputs than a fresh copy of it: it keeps what it made of "
            "its weights before, or reads them elsewhere than in its parameters and buffers; forward() must "
            "compute from these"
        )
    if fit.by_batch and by_hand == "auto":
        raise InputError(
            f"model {config.model}: the outputs of a sample depend on its batch, as with batch normalisation without "
            "running statistics, and so would the surface; give --batch-size N, which then belongs to the surface"
        )
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


def compute(
    config: RunConfig,
    world: World,
    evaluator: Evaluator,
    pending: np.ndarray[Any, Any],
    writer: str,
    stop: Stop,
    seconds_left: Callable[[], float],
    report: Callable[[np.ndarray[Any, Any]], None],
    identity: store.Identity,
) -> bool:
    """Compute the pending points into the file; return whether all are done.

    Collective: all ranks of ``world`` must call this.
    """
    total = int(np.count_nonzero(pending))
    if total == 0:
        return True
    parallel = writer == "parallel"
    slowest = on_root(world, lambda: open_session(config, world, identity))
    file = None
    if parallel or world.is_root:
        file = store.SurfaceFile(config.out, evaluator.quantities, world.comm if parallel else None)
    task = make_task(config.grid, evaluator, file, collects=not parallel, stop=stop, report=report)
    began = time.monotonic()
    with ProgressDisplay(total) if world.is_root else nullcontext() as display:

        def show(progress: Progress) -> None:
            if display is not None:
                display.update(progress.done)
            if file is not None:
                file.look()

        complete = coordinate(
            world, Everything.of(pending, config.grid), task, time_left=seconds_left, slowest=slowest, on_progress=show
        )
    # Not by a ``with``: closing is collective, and a rank that fails must not wait in it for the others.
    if file is not None:
        file.close()
    on_root(world, lambda: close_session(identity, seconds=time.monotonic() - began))
    return complete


def make_task(
    grid: Grid,
    evaluator: Evaluator,
    file: store.SurfaceFile | None,
    *,
    collects: bool,
    stop: Stop,
    report: Callable[[np.ndarray[Any, Any]], None] = lambda _: None,
) -> Task:
    """Say what a rank does with a point: evaluate it, and write it where this rank has something to write into.

    ``report`` is called with the values at the centre of the grid, by the rank that has computed them.
    """
    alphas = grid.alpha.values()
    betas = np.zeros(1) if grid.beta is None else grid.beta.values()
    centre = grid.centre

    def point(row: int, column: int, tick: Callable[[], None]) -> np.ndarray[Any, Any]:
        values = evaluator.point(float(alphas[column]), float(betas[row]), tick=tick)
        if (row, column) == centre:
            report(values[:-1])
        return values

    def leave_to_root(work: Any, values: Any, *, rank: int) -> None:
        """The results reach the file through root."""

    write = leave_to_root if file is None else file.write
    return Task(point, write, collect=write if collects else None, wants_stop=lambda: bool(stop))


def reporter(config: RunConfig, problem: Problem, evaluator: Evaluator) -> Callable[[np.ndarray[Any, Any]], None]:
    """Return a function that tells the user the values at the centre, and warns where they are those of guessing."""
    quantities = evaluator.quantities
    classes = {name: split.num_classes for name, split in problem.splits.items()}

    def report(values: np.ndarray[Any, Any]) -> None:
        for line in lines_of_centre(quantities, values.tolist()):
            log.info(line)
        if problem.weights in ("checkpoint", "given"):
            warn_of_guessing(quantities, values.tolist(), evaluator.samples, classes, config.data)

    return report
