"""How long a run needs from its start, all imports done, to its first point.

    python benchmarks/start.py [--rounds 5] [--json FILE]

ResNet-20 on scikit-learn's digits, 51 x 51 points: loading, digests, directions, rewriting the network and comparing it
with the plain one, tuning the batch size, making the file. Each round is a process of its own, and a run as
``lossgrid run`` is one, which is told to stop when its first point is there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401  # or it would be imported, and timed, when the digits are read
from machine import describe

from lossgrid import parallel
from lossgrid.evaluation import Evaluator
from lossgrid.run import Budget, run
from lossgrid.settings import RunConfig, resolve

RESULT = Path(__file__).with_name("results") / "start.json"
TARGET = 3.0  # s


def start() -> float:
    """Run until the first point is computed and return the seconds that took."""
    came: list[float] = []
    compute = Evaluator.point

    def point(*arguments: Any, **options: Any) -> Any:
        values = compute(*arguments, **options)
        came.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGTERM)
        return values

    Evaluator.point = point  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder, parallel.stop_on_signals() as stop:
        out = Path(folder) / "surface.h5"
        config = resolve(RunConfig, {"model": "resnet20", "alpha": "-1:1:51", "beta": "-1:1:51", "out": out})
        began = time.perf_counter()
        complete = run(config, parallel.alone(), Budget.of(None, stop))
        assert not complete
    return came[0] - began


def main() -> None:
    """Start several times and tell whether the target is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=RESULT)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(start())
        return
    again = [sys.executable, __file__, "--once"]
    seconds = [
        float(subprocess.run(again, check=True, capture_output=True, text=True).stdout) for _ in range(options.rounds)
    ]
    middle = statistics.median(seconds)
    print(f"{middle:.2f} s from start to first point (target under {TARGET:.0f} s), of {sorted(seconds)}")
    options.json.write_text(json.dumps({"seconds": seconds, "median": middle, "machine": describe()}, indent=2) + "\n")
    sys.exit(0 if middle < TARGET else 1)


if __name__ == "__main__":
    main()
