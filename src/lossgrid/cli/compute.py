"""The verbs that start MPI or torch: run, directions, train, check."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

import typer

from lossgrid import parallel
from lossgrid.cli.options import named, takes
from lossgrid.cli.voice import load, log_of, one_voice
from lossgrid.errors import EXIT_COMPLETE, EXIT_FAILED, EXIT_RESUMABLE, InputError
from lossgrid.machine.launcher import Launch, detect
from lossgrid.settings import DirectionsConfig, RunConfig, TrainConfig

log = logging.getLogger(__name__)

STARTED = time.monotonic()
RESUME = "where the file was made, what was done is kept in it, and the same command goes on from there"


@takes(RunConfig)
def run(settings: RunConfig) -> int:
    """Compute a surface, alone or under mpirun or srun; the same command resumes one that was interrupted.

    Exit codes: 0 complete, 1 failed, 2 bad input, 75 stopped early and resumable.
    """
    launch = detect()
    if launch is None and settings.writer == "parallel":
        launch = Launch("no launcher", 0, 1)
    if settings.dry_run:
        return dry_run(settings, launch)
    stop = parallel.listen()
    # MPI starts before torch is loaded: on some Cray systems it cannot afterwards.
    world = parallel.alone() if launch is None else parallel.connect(launch, patience=settings.heartbeat)
    log_of(world)
    with one_voice(world, settings.heartbeat), parallel.guarded(world, settings.heartbeat, advice=RESUME):
        path = load(world, "lossgrid.run")
        budget = path.Budget.of(settings.time_limit, stop, began=STARTED)
        complete = path.run(settings, world, budget)
        if complete and settings.plot:
            parallel.on_root(world, lambda: draw_surface(settings.out))
        return EXIT_COMPLETE if complete else EXIT_RESUMABLE


def dry_run(settings: RunConfig, launch: Launch | None) -> int:
    """Tell what a run would take, and what is wrong, without a point or a file."""
    world = parallel.alone() if launch is None else parallel.connect(launch)
    log_of(world)
    with one_voice(world), parallel.abort_guard(world):
        works = load(world, "lossgrid.check").dry_run(settings, world, began=STARTED)
        return EXIT_COMPLETE if works else EXIT_FAILED


def draw_surface(file: Path) -> None:
    """Draw a complete surface beside its file, in every kind that fits it."""
    from lossgrid import plot, store  # here, as importing matplotlib would delay every rank of every run

    for picture in plot.write_all(store.read(file), file.with_suffix(""), overwrite=True):
        log.info("drew %s", picture)


@takes(DirectionsConfig)
def directions(settings: DirectionsConfig) -> int:
    """Make a direction file, which `lossgrid run --directions` and the reference tool read."""
    world = parallel.alone()
    log_of(world)
    from lossgrid.run.axes import write_direction_file

    write_direction_file(settings, world)
    return EXIT_COMPLETE


def check(
    folder: Annotated[Path, typer.Argument(callback=named, help="Where surfaces will be written.")] = Path(),
) -> int:
    """Check MPI, parallel HDF5 and the devices; under mpirun or srun too."""
    world = parallel.join()
    log_of(world)
    with one_voice(world), parallel.abort_guard(world):
        check_installation = load(world, "lossgrid.check").check_installation
        return EXIT_COMPLETE if check_installation(world, folder) else EXIT_FAILED


@takes(TrainConfig)
def train(settings: TrainConfig) -> int:
    """Train a network in one process, for its surface; the same command resumes one that was interrupted.

    FOLDER gets epoch_0000.pt, epoch_0010.pt, ..., which lossgrid run --checkpoint takes, and epochs.csv: loss and
    accuracy of each split after each epoch, in evaluation mode; where labels are drawn anew, with these.

    Exit codes: 0 complete, 1 failed, 2 bad input, 75 stopped early and resumable.
    """
    launch = detect()
    if launch is not None and (launch.size or launch.rank + 1) > 1:
        raise InputError("lossgrid train is one process; start it without mpirun, or with -n 1")
    with parallel.stop_on_signals() as stop:
        log_of(parallel.alone())
        from lossgrid.training import train as train_network

        return EXIT_COMPLETE if train_network(settings, stop) else EXIT_RESUMABLE
