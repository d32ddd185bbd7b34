"""What writing costs: microseconds per point with either writer, and per report for root to take in.

    mpirun -n 2 python benchmarks/writer.py [--folder FOLDER] [--json FILE]

A surface of two metrics on two splits, in a file of ``--folder``, by default of the system's temporary folder.

* parallel: every rank writes its own points at once, as with ``--writer parallel``.
* root: rank 0 writes alone and flushes after each segment, as with ``--writer root``.
* a report: what rank 0 spends on a report of another rank, from the look at the mailbox to the share it sends back;
  with ``--writer root`` it writes the points as well.

Medians over many segments, at root.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from pathlib import Path

import mpi4py
import numpy as np

mpi4py.rc.initialize = False
mpi4py.rc.finalize = True

from lossgrid import parallel, store  # noqa: E402
from lossgrid.machine.launcher import detect  # noqa: E402
from lossgrid.parallel.mail import REPORT_TAG, SHARE_TAG, Report, Write, receive_share  # noqa: E402
from lossgrid.parallel.root import Root  # noqa: E402
from lossgrid.sampling import Everything  # noqa: E402
from lossgrid.surface import Axis, Grid, Results, Work  # noqa: E402
from lossgrid.surface.quantity import accuracy, loss  # noqa: E402

LENGTHS = (1, 5, 25)
ROUNDS = 200
REPORTS = 20  # that wait for root at a time
QUANTITIES = [made for split in ("train", "test") for made in (loss(split, "nats per sample"), accuracy(split))]


def ones(work: Work) -> Results:
    """Return results of the points of a work."""
    values = np.ones((len(work), len(QUANTITIES)))
    return Results(work, values, values, np.ones(len(work)))


def writing(file: store.SurfaceFile, rank: int) -> dict[int, float]:
    """Return the seconds it takes to write a segment, by its length, the median of many."""
    taken: dict[int, list[float]] = {length: [] for length in LENGTHS}
    for number in range(ROUNDS):
        for place, length in enumerate(LENGTHS):  # by turns: what disturbs one disturbs all
            segment = Work(len(LENGTHS) * rank + place, number * length, (number + 1) * length)
            results = ones(segment)
            began = time.perf_counter()
            file.write(results, rank=rank)
            taken[length].append(time.perf_counter() - began)
    return {length: statistics.median(seconds) for length, seconds in taken.items()}


def reporting(world: parallel.World, length: int, write: Write | None) -> float:
    """Return the seconds root needs for a report of ``length`` points, the median of many, right on root alone.

    Collective: all ranks of ``world`` must call this.
    """
    comm = world.comm
    task = parallel.Task(lambda work, _: ones(work), lambda *_, **__: None, write, seconds_left=lambda: math.inf)
    progress = parallel.Progress(total=0)

    def remember(state: parallel.Progress) -> None:
        progress.done = state.done

    root = Root(world, Everything([Work(0, 0, 2 * ROUNDS * REPORTS)]), task, 0.0, remember)
    taken = []
    for number in range(ROUNDS):
        if world.rank == 1:
            for ticket in range(number * REPORTS, (number + 1) * REPORTS):
                results = ones(Work(1, number * length, (number + 1) * length))
                comm.Send(Report(2 + ticket, 0, results).packed(), dest=world.root, tag=REPORT_TAG)
        parallel.barrier(world)
        if world.is_root:
            began = time.perf_counter()
            root._look_after()
            taken.append((time.perf_counter() - began) / REPORTS)
        parallel.barrier(world)
        while world.rank == 1 and comm.Iprobe(source=world.root, tag=SHARE_TAG):
            receive_share(comm, world.root)
    if not world.is_root:
        return math.nan
    assert progress.done == ROUNDS * REPORTS * length
    return statistics.median(taken)


def measure(world: parallel.World, path: Path) -> dict[str, dict[int, float]]:
    """Return seconds by what is done and the length of the segment, with a surface at ``path``; right on root alone.

    Collective: all ranks of ``world`` must call this.
    """
    grid = Grid(Axis(-1, 1, ROUNDS * max(LENGTHS)), Axis(-1, 1, len(LENGTHS) * world.size))
    parallel.on_root(world, lambda: store.create(path, grid, QUANTITIES, config={}, provenance={}))
    table = {}
    if store.has_parallel_hdf5():
        file = store.SurfaceFile(path, QUANTITIES, world.comm)
        table["parallel: a segment"] = writing(file, world.rank)
        file.close()
    table["parallel: a report at root"] = {length: reporting(world, length, None) for length in LENGTHS}
    alone = store.SurfaceFile(path, QUANTITIES) if world.is_root else None
    if alone is not None:
        table["root: a segment"] = writing(alone, world.rank)
    write = None if alone is None else alone.write
    table["root: a report at root"] = {length: reporting(world, length, write) for length in LENGTHS}
    if alone is not None:
        alone.close()
    return table


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    launch = detect()
    if launch is None:
        parser.error("start it with mpirun -n 2")
    world = parallel.connect(launch)
    with tempfile.TemporaryDirectory(dir=options.folder) as own:
        seconds = measure(world, Path(parallel.broadcast(world, own)) / "surface.h5")
        parallel.barrier(world)
    if not world.is_root:
        return
    table = {}
    for name, row in seconds.items():
        table[name] = {length: 1e6 * taken for length, taken in row.items()}
        table[f"{name}, per point"] = {length: taken / length for length, taken in table[name].items()}
    print(f"{'microseconds; points a segment:':38}", *(f"{length:>8}" for length in LENGTHS))
    for name, row in table.items():
        print(f"{name:38}", *(f"{taken:8.1f}" for taken in row.values()))
    if options.json is not None:
        from machine import describe

        result = {"ranks": world.size, "microseconds by points a segment": table, "machine": describe()}
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
