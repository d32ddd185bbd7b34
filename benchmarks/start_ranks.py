"""What the start of a run costs when a node has many ranks: bytes read, memory, seconds until the first point begins.

    python benchmarks/start_ranks.py CHECKPOINT CIFAR10_FOLDER [--ranks 4 16] [--pictures 2000] [--json FILE]

ResNet-20 as it is on pictures of CIFAR-10, one thread for each rank; nothing is tuned. A rank that is about to compute
its first point tells what its process has read since all imports were done, and what memory it holds; rank 0 also sums
up the memory of all ranks every second. PSS counts memory that ranks share once, divided among them; the peak of a rank
(VmHWM) counts it in full. Give ``PYTHONPATH`` to measure another version of lossgrid.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from lossgrid import parallel
from lossgrid.evaluation import Evaluator
from lossgrid.run import Budget, run
from lossgrid.settings import RunConfig, resolve

RESULT = Path(__file__).with_name("results") / "start_ranks.json"
MIB = 2**20
MPIEXEC = ("mpiexec", "--oversubscribe", "-n")


def field(file: str, name: str, process: int | str = "self") -> int:
    """Return a number of a file of ``/proc/PID``, such as ``VmHWM`` of ``status``; 0 if the process is gone."""
    try:
        lines = Path(f"/proc/{process}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


class Node:
    """The memory that all ranks hold together, looked at every second."""

    def __init__(self, processes: list[int]) -> None:
        self.peak, self._processes = 0, processes
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self.peak = max(self.peak, sum(field("smaps_rollup", "Pss", one) for one in self._processes))
            time.sleep(1)


def start(options: argparse.Namespace) -> None:
    """Run until every rank is about to compute its first point; rank 0 prints what that took."""
    world = parallel.join()
    processes = parallel.gather(world, os.getpid())
    node = Node(processes) if world.is_root else None
    parallel.barrier(world)
    began, read = time.perf_counter(), field("io", "rchar")

    def point(*_: Any, **__: Any) -> Any:
        own = {
            "seconds": time.perf_counter() - began,
            "read": (field("io", "rchar") - read) / MIB,
            "peak": field("status", "VmHWM") / 1024,
            "pss": field("smaps_rollup", "Pss") / 1024,
        }
        every = parallel.gather(world, own)
        if node is not None:
            of = {name: [one[name] for one in every] for name in own}
            told = {
                "ranks": world.size,
                "seconds to the first point": max(of["seconds"]),
                "MiB read": sum(of["read"]),
                "MiB read by the others, most": max([0.0, *of["read"][1:]]),
                "peak of rank 0, MiB": of["peak"][0],
                "peak of the others, MiB, most": max([0.0, *of["peak"][1:]]),
                "PSS of a rank at its first point, MiB, mean": sum(of["pss"]) / world.size,
                "PSS of all ranks, MiB, peak": max(node.peak / 1024, sum(of["pss"])),
            }
            print(json.dumps(told), flush=True)
        parallel.finalize(world, 0.0)
        os._exit(0)  # the run has no way to end here

    Evaluator.point = point  # type: ignore[method-assign]
    folder = parallel.on_root(world, tempfile.mkdtemp)
    asked = {
        "model": "resnet20", "model_arg": {"shortcut": "pad"}, "checkpoint": options.checkpoint,
        "data": f"cifar10:{options.data}", "data_arg": {"normalize": "imagenet"}, "max_samples": options.pictures,
        "variant": "plain", "batch_size": 125,  # nothing is tuned or compiled, as that depends on the points to come
        "alpha": f"-1:1:{8 * world.size}", "beta": "-1:1:3", "out": Path(folder) / "surface.h5",
    }  # fmt: skip
    with parallel.stop_on_signals() as stop:
        run(resolve(RunConfig, asked), world, Budget.of(None, stop))


def main() -> None:
    """Start with each number of ranks and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--ranks", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--json", type=Path, default=RESULT)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        start(options)
        return
    from machine import describe

    found = []
    for ranks in options.ranks:
        again = [
            *MPIEXEC,
            str(ranks),
            sys.executable,
            __file__,
            *map(str, (options.checkpoint, options.data)),
            "--once",
        ]
        done = subprocess.run(
            [*again, "--pictures", str(options.pictures)],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        line = next(line for line in done.stdout.splitlines() if line.startswith("{"))
        found.append(json.loads(line))
        print(line)
    options.json.write_text(json.dumps({"pictures": options.pictures, "runs": found, "machine": describe()}, indent=2))


if __name__ == "__main__":
    main()
