"""How much of the ideal the coordinator reaches: synthetic points that sleep, many ranks on one machine.

    python benchmarks/coordinator.py [--ranks 1,2,4,16,64] [--milliseconds 1,10,100] [--seconds 3] [--json FILE]

Sleeping takes no core, so dozens of ranks on a few cores behave like as many machines, but for the time the operating
system needs to wake them. The ideal is points x seconds / ranks, from the moment all ranks are ready to the moment the
last one has left, with the sleeps as long as they really were. Results travel to rank 0, as with the root writer.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lossgrid.machine.launcher import detect
from lossgrid.parallel import Task, barrier, connect, coordinate, gather
from lossgrid.sampling import Everything
from lossgrid.surface import Results, Work
from lossgrid.surface.lattice import works


def rank(milliseconds: float, seconds: float) -> None:
    """Be one rank: share as many points as take about ``seconds``; root prints the share of the ideal."""
    launch = detect()
    assert launch is not None
    world = connect(launch)
    columns = max(1, int(1000 * seconds / milliseconds))
    slept, collected = 0.0, 0

    def evaluate(work: Work, tick: Callable[[], object]) -> Results:
        nonlocal slept
        began = time.perf_counter()
        time.sleep(milliseconds / 1000)
        took = time.perf_counter() - began
        slept += took
        tick()
        return Results.of_point(work, np.array([work.row + work.start]), np.zeros(1), took)

    def collect(results: Results, *, rank: int) -> None:  # noqa: ARG001
        nonlocal collected
        collected += len(results.work)

    pending = np.ones((world.size, columns), dtype=bool)
    barrier(world)
    began = time.perf_counter()
    assert coordinate(world, Everything(works(pending, (0, 0))), Task(evaluate, collect, collect, lambda: math.inf))
    elapsed = time.perf_counter() - began
    total = sum(gather(world, slept))
    if world.is_root:
        assert collected == pending.size
        print(json.dumps({"ranks": world.size, "milliseconds": milliseconds, "points": int(pending.size),
                          "seconds": elapsed, "share of ideal": total / world.size / elapsed}))  # fmt: skip


def main() -> None:
    """Start mpirun for every combination and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", default="1,2,4,16,64")
    parser.add_argument("--milliseconds", default="1,10,100")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if detect() is not None:
        rank(float(options.milliseconds), options.seconds)
        return
    from machine import describe

    results = []
    for milliseconds in options.milliseconds.split(","):
        for ranks in options.ranks.split(","):
            own = [__file__, "--milliseconds", milliseconds, "--seconds", str(options.seconds)]
            done = subprocess.run(
                ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", ranks, sys.executable, *own],
                capture_output=True, text=True, check=True, env={**os.environ, "OMPI_MCA_mpi_yield_when_idle": "1"},
            )  # fmt: skip
            results.append(json.loads(done.stdout))
            share = 100 * results[-1]["share of ideal"]
            print(f"{ranks:>4} ranks, points of {milliseconds:>3} ms: {share:5.1f} % of the ideal", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps({"results": results, "machine": describe()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
