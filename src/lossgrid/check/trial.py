"""Real writes into the folder for surfaces, by each writer as in a run, and tests of its locks."""

from __future__ import annotations

import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from lossgrid import store
from lossgrid.errors import LossgridError, RankError, in_short
from lossgrid.machine.disks import LOCKS, file_system, lock_tried
from lossgrid.parallel import World, collective, collectively, gather, on_root
from lossgrid.surface import Axis, Grid, Results, Work, quantity

T = TypeVar("T")
POINTS = 8  # that each rank writes, one by one
QUANTITIES = [quantity.loss("train", "nats per sample"), quantity.accuracy("train")]
SECONDS = 0.5  # aimed duration of a bandwidth measurement
FIRST_BYTES, MOST_BYTES = 4 << 20, 512 << 20  # least and most bytes of a measurement, all ranks together
SHARE_OF_FREE = 20  # a measurement uses at most 1/20 of the free space


@dataclass(frozen=True)
class Trial:
    """The result of writing with one writer.

    Attributes:
        writer: ``parallel`` or ``root``.
        skipped: Why it was not tried; None if it was.
        problem: Why it failed; None if it worked.
        point_seconds: Seconds to write one point, the median of the slowest rank; 0 if none was written.
        bandwidth: Bytes per second of all ranks together, including closing and fsync; None if it was not measured.
    """

    writer: str
    skipped: str | None = None
    problem: str | None = None
    point_seconds: float = 0.0
    bandwidth: float | None = None


@collective
def make_workspace(world: World, folder: Path) -> Path:
    """Make a folder for the trials within ``folder``, and return it.

    Its name is new, so that no node has cached that it does not exist.

    Raises:
        RankError: The file system refuses.
    """

    def make() -> Path:
        try:
            return Path(tempfile.mkdtemp(prefix=".lossgrid-check-", dir=folder))
        except OSError as error:
            raise RankError(f"cannot make a folder in {folder}: {error.strerror}") from None

    return on_root(world, make)


@collective
def remove_workspace(world: World, folder: Path) -> None:
    """Remove the folder of the trials with all files that failed trials have left."""
    on_root(world, lambda: shutil.rmtree(folder, ignore_errors=True))


@collective
def try_locks(world: World, folder: Path) -> dict[str, str | None]:
    """Lock a file on root, and try to lock it on other ranks, which must fail.

    Returns:
        Kind of lock -> its problem; None if it works.
    """
    problems: dict[str, str | None] = {}
    for kind in LOCKS:
        with ExitStack() as held:
            path = folder / kind
            own = on_root(world, partial(held.enter_context, lock_tried(path, kind)))
            took_it = False
            if own is None and not world.is_root and world.local_rank <= 1:  # one or two ranks per node suffice
                with lock_tried(path, kind) as theirs:
                    took_it = theirs is None
            thieves = [rank for rank, took in enumerate(gather(world, took_it)) if took]
        problems[kind] = None if own is None else f"cannot be taken ({own})"
        if thieves:
            problems[kind] = f"does not keep out rank {thieves[0]}"
    return problems


@collective
def try_writing(world: World, folder: Path, writer: str) -> Trial:
    """Write a small surface as a run does and read it back; then measure the bandwidth with larger blocks."""
    point_seconds, bandwidth, problem = 0.0, None, None
    try:
        point_seconds = _write_points(world, folder / f"{writer}.h5", writer)
        bandwidth = _measure(world, folder, writer)
    except LossgridError as error:
        # The name of the temporary file means nothing to the user: drop it and the advice to choose another.
        problem = re.sub(rf"(cannot make|cannot write|writing) {re.escape(str(folder))}/[^:]*: ", "", str(error))
        problem = problem.removesuffix("; choose another --out")
    return Trial(writer, problem=problem, point_seconds=point_seconds, bandwidth=bandwidth)


def _write_points(world: World, path: Path, writer: str) -> float:
    """Write points one by one and read them back; return the seconds per point, the median of the slowest rank.

    Raises:
        RankError: A write failed, or other values were read than were written.
    """
    parallel = writer == "parallel"
    count = POINTS * (world.size if parallel else 1)
    grid = Grid(Axis(0.0, float(count), count + 1))  # the last point stays pending

    def write() -> float:
        if not (parallel or world.is_root):
            return 0.0
        file = store.SurfaceFile(path, QUANTITIES, world.comm if parallel else None)
        seconds = []
        try:
            for point in range(world.rank * POINTS, (world.rank + 1) * POINTS):
                began = time.perf_counter()
                file.write(_results(point), rank=world.rank)
                seconds.append(time.perf_counter() - began)
        finally:
            file.close()  # also after a failure: the other ranks wait in it
        return statistics.median(seconds)

    on_root(world, lambda: store.create(path, grid, QUANTITIES, config={}, provenance={}))
    slowest = max(gather(world, collectively(world, lambda: _refused(write, path))))
    on_root(world, lambda: _compare(path, count))
    return slowest


def _results(point: int) -> Results:
    values = np.full((1, len(QUANTITIES)), float(point))
    return Results(Work(0, point, point + 1), values, np.zeros_like(values), np.zeros(1))


def _compare(path: Path, count: int) -> None:
    surface = store.read(path)
    expected = np.arange(count, dtype=np.float64)
    for name in surface.quantities:
        wrong = np.flatnonzero(surface[name][:count] != expected)
        if wrong.size:
            raise RankError(
                f"{path}: wrote {expected[wrong[0]]:g} to point {wrong[0]} of {name}, read "
                f"{surface[name][wrong[0]]:g}; {wrong.size} of {count} points are wrong"
            )
    if surface.pending != 1:
        raise RankError(f"{path}: 1 point was to stay pending, {surface.pending} are")


def _measure(world: World, folder: Path, writer: str) -> float | None:
    """Return the bytes per second of all ranks together; None if there is too little space to measure.

    Raises:
        RankError: A write failed.
    """
    most = on_root(world, lambda: int(min(MOST_BYTES, file_system(folder).free / SHARE_OF_FREE)))
    if most < FIRST_BYTES:
        return None
    total, seconds = _timed(world, folder / f"{writer}-first.h5", writer, FIRST_BYTES)
    wanted = min(most, int(SECONDS * total / seconds))
    if wanted > total:
        total, seconds = _timed(world, folder / f"{writer}-blocks.h5", writer, wanted)
    return total / seconds


def _timed(world: World, path: Path, writer: str, wanted: int) -> tuple[int, float]:
    """Write about ``wanted`` bytes, each rank its part; return their number and the seconds of the slowest rank."""
    rows = world.size if writer == "parallel" else 1
    columns = max(1, wanted // (8 * rows))

    def write() -> float:
        if writer == "parallel":
            return store.write_blocks(path, world.rank, world.comm)
        return store.write_blocks(path, 0) if world.is_root else 0.0

    on_root(world, lambda: _refused(lambda: store.make_blocks(path, rows, columns), path))
    seconds = max(gather(world, collectively(world, lambda: _refused(write, path))))
    on_root(world, lambda: _refused(path.unlink, path))
    return 8 * rows * columns, seconds


def _refused(function: Callable[[], T], path: Path) -> T:
    """Return the result of ``function``; turn an error of the file system into a :class:`RankError`."""
    try:
        return function()
    except (OSError, RuntimeError) as error:
        if isinstance(error, LossgridError):
            raise
        raise RankError(f"writing {path}: {in_short(error)}") from None
