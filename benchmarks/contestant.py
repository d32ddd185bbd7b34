"""One contestant of point.py as a process: a line of JSON in, a plane computed, a line of JSON out; see turn.py.

    [mpirun -n 2] python benchmarks/contestant.py NAME CASE

While it waits for its next turn it takes no core, on no rank.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cases
import torch
from contestants import CONTESTANTS

from lossgrid import parallel
from lossgrid.machine.launcher import detect

NAP = 0.01  # s between looks of a waiting rank; more often would disturb the contestant whose turn it is


def requests(world: parallel.World) -> Iterator[int]:
    """Yield the points along each axis that are asked for, on all ranks, until the input ends.

    Collective: all ranks of ``world`` must iterate alike.
    """
    while True:
        line = sys.stdin.readline() if world.is_root else ""
        parallel.barrier(world, NAP)
        line = parallel.broadcast(world, line)
        if not line:
            return
        yield json.loads(line)["points"]


def serve(name: str, path: Path, world: parallel.World) -> None:
    """Be contestant ``name`` on the case in ``path``."""
    # What libraries print must not mix with the answers: from here on it goes to standard error.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(message: dict[str, Any]) -> None:
        if world.is_root:
            print(json.dumps(message), file=answers, flush=True)

    try:
        contestant = CONTESTANTS[name]
        surface = contestant.make(cases.load(path), world)
        packages = ["torch", "numpy"] + [contestant.package] * (contestant.package is not None)
        versions = {package: version(package) for package in packages} | {"python": platform.python_version()}
        say({"ready": {"ranks": world.size, "threads per rank": torch.get_num_threads(), "versions": versions}})
        for points in requests(world):
            say(asdict(surface(points)))
    except Exception as error:
        say({"failed": f"{type(error).__name__}: {error}"})
        raise


def main() -> None:
    """Start MPI where launched by it, and serve."""
    parallel.start_mpi_on_demand()
    launch = detect()
    world = parallel.alone() if launch is None else parallel.connect(launch)
    with parallel.abort_guard(world):
        serve(sys.argv[1], Path(sys.argv[2]), world)


if __name__ == "__main__":
    main()
