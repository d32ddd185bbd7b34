"""The time of a point of the surface: lossgrid, the published procedure, the peers, and the floor of the machine.

    python benchmarks/point.py [--cases digits,resnet20,...] [--contestants lossgrid-float32,plain,...] [--rounds 5]
                               [--json FOLDER]

All contestants (contestants.py) compute a small plane of the same case (cases.py) on the same cores of the CPU. Each
has its own process. They take turns within one run, so that the noise of a shared machine affects all equally; another
one begins each round. Results are medians; ratios are to the first contestant in the same round. Contestants with the
same directions must compute the same losses, and all of them the same loss at theta*. Otherwise, or if a contestant
cannot run, the exit code is 1. The peers need benchmarks/peers.sh once. floor.py explains the floor. The benchmark
takes about an hour on two cores, mostly for the peers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cases
import floor
import numpy as np
import torch
from contestants import CONTESTANTS
from machine import describe
from player import NotRunError, Player
from turn import Turn

from lossgrid.machine.cores import cores_of, own_cpus

RESULTS = Path(__file__).with_name("results")
PRECISIONS = ("float32", "bfloat16")


def measure(name: str, contestants: list[str], rounds: int, folder: Path) -> dict[str, Any]:
    """Let the contestants take turns on the case ``name``; return the results as JSON types."""
    case = cases.make(name, folder)
    cases.save(case, folder / "case.pt")
    points = cases.RECIPES[name].points
    players: dict[str, Player] = {}
    turns: dict[str, list[Turn]] = {contestant: [] for contestant in contestants}
    peaks: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    not_run: dict[str, str] = {}
    with ExitStack() as everybody:
        for i in range(rounds + 1):  # the first starts them and warms them up
            first = i % len(contestants)
            for contestant in contestants[first:] + contestants[:first]:
                if contestant in not_run:
                    continue
                try:
                    if i == 0:
                        log = folder / f"{contestant}.log"
                        player = Player(contestant, CONTESTANTS[contestant], folder / "case.pt", log)
                        players[contestant] = everybody.enter_context(player)
                    turn = players[contestant].turn(points)
                except NotRunError as error:
                    not_run[contestant] = str(error)
                    continue
                turns[contestant] += [turn] if i else []
            for precision, own in peaks.items():
                own.append(floor.peak(precision))
    result = {
        "case": name,
        "about": case.about,
        "points a turn": points**2,
        "rounds": rounds,
        "FLOP a point": floor.flop(case),
        "peak FLOP/s": {precision: statistics.median(own) for precision, own in peaks.items()},
        "not run": not_run,
    }
    ran = [contestant for contestant in contestants if contestant not in not_run]
    return result | {"contestants": {own: players[own].about | judge(own, ran[0], turns, result) for own in ran}}


def judge(name: str, first: str, turns: dict[str, list[Turn]], result: dict[str, Any]) -> dict[str, Any]:
    """Return the results of contestant ``name``, with ratios to ``first``."""
    own, other = CONTESTANTS[name], CONTESTANTS[first]
    same_directions = own.package is None and other.package is None
    seconds, theirs = ([turn.seconds / result["points a turn"] for turn in turns[key]] for key in (name, first))
    lowest = result["FLOP a point"] / result["peak FLOP/s"][own.precision]
    worst = max(difference(a, b, same_directions) for a, b in zip(turns[name], turns[first], strict=True))
    return {
        "seconds a point": statistics.median(seconds),
        "ratio": statistics.median(a / b for a, b in zip(seconds, theirs, strict=True)),
        "share of the peak": lowest / statistics.median(seconds),
        "loss at theta*": turns[name][-1].minimum,
        "chose": turns[name][-1].about,
        "compared": "all losses" if same_directions else "the loss at theta*",
        "worst difference": worst,
        "agrees": worst <= max(own.tolerance, other.tolerance),
        "all seconds a point": seconds,
    }


def difference(a: Turn, b: Turn, same_directions: bool) -> float:
    """Return the largest difference between the losses of two contestants, as a fraction of the loss."""
    own, other = (np.array([turn.minimum, *(turn.losses if same_directions else [])]) for turn in (a, b))
    return float(np.max(np.abs(own - other) / np.abs(other)))


def show(result: dict[str, Any]) -> None:
    """Print the table of a case."""
    print(f"\n{result['case']}: {result['about']}")
    peaks = ", ".join(f"{peak / 1e9:.0f} GFLOP/s in {precision}" for precision, peak in result["peak FLOP/s"].items())
    print(f"{result['FLOP a point'] / 1e9:.1f} GFLOP a point; peak {peaks}; medians of {result['rounds']} rounds of "
          f"{result['points a turn']} points")  # fmt: skip
    print(f"  {'contestant':24} ranks x threads   s a point  (range)           ratio  of peak  loss at theta*  differs")
    for name, own in result["contestants"].items():
        seconds = own["all seconds a point"]
        print(
            f"  {name:24} {own['ranks']:5} x {own['threads per rank']:<7} {own['seconds a point']:10.4f}"
            f"  ({min(seconds):.4f}-{max(seconds):.4f}) {own['ratio']:6.2f} {100 * own['share of the peak']:6.1f} %"
            f"  {own['loss at theta*']:14.6f}  {own['worst difference']:.0e}{'' if own['agrees'] else '  DISAGREES'}"
        )
    for precision, peak in result["peak FLOP/s"].items():
        print(f"  {'floor ' + precision:24} {'':15} {result['FLOP a point'] / peak:10.4f}")
    for name, own in result["contestants"].items():
        if own["chose"]:
            print(f"  {name} chose {own['chose']}")
    for name, reason in result["not run"].items():
        print(f"  {name:24} NOT RUN: {reason}")
    sys.stdout.flush()


def choose(chosen: str, there_are: list[str]) -> list[str]:
    """Read a list of names separated by commas."""
    names = chosen.split(",")
    if unknown := set(names) - set(there_are):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}, but {', '.join(there_are)}")
    return names


def main() -> None:
    """Measure all cases, print their tables and write everything down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, there_are in (("--cases", list(cases.RECIPES)), ("--contestants", list(CONTESTANTS))):
        parser.add_argument(option, type=lambda text, own=there_are: choose(text, own), default=there_are)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=RESULTS, help="folder for a file a case, point_<case>.json")
    options = parser.parse_args()
    torch.set_num_threads(len(cores_of(own_cpus())))
    results = []
    for name in options.cases:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(name, options.contestants, options.rounds, Path(folder)))
        show(results[-1])
        written = json.dumps(results[-1] | {"machine": describe()}, indent=2)
        (options.json / f"point_{name}.json").write_text(f"{written}\n")
    agree = all(own["agrees"] for result in results for own in result["contestants"].values())
    sys.exit(0 if agree and not any(result["not run"] for result in results) else 1)


if __name__ == "__main__":
    main()
