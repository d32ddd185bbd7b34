"""What the rounds of a refined run cost: the coordinator's code and the plan of ``--tolerance`` on a virtual clock.

    python -m benchmarks.rounds FULL.h5... [--points 51,251] [--ranks 1,16,64,256,1024,4096,16384] [--seconds 0.1,1]
                                [--tolerance 0.01] [--json FILE]

Each surface is replayed, as in ``refinement.py``: FULL.h5 has it in full. A grid with another number of points is a
bicubic spline through its logarithm: as rough as the surface at its own points, and smooth between them.

Three runs share the same ranks, of which there are no more than points, the fast network of ``simulation.py`` with the
costs that it measured, and points of equal time:

    refined     the plan decides level after level, and ranks wait for decisions; it ends with the picture
    known       the same points, all known from the beginning: what the refined run would take without rounds
    full        every point

So ``1 - known / refined`` is the share of the ranks' time that rounds cost. What root's decisions and its picture
take is measured while it runs here, in processor time of its thread, and put on its clock.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from lossgrid import store
from lossgrid.sampling import Everything, Picture, Refine, Tolerance
from lossgrid.surface import Axis, Grid, Quantity, Results, Surface
from tests.sharing import Points, simulate
from tests.virtual import Costs

RESULTS = Path(__file__).with_name("results")
NETWORK, LATENCY = "InfiniBand", 2e-6  # seconds, as simulation.py has it
BATCHES = 16  # parts of a point between which root looks at its mail, as there


class Timed(Refine):
    """The plan of a refined run, which keeps its picture and counts what its decisions take.

    Attributes:
        seconds: Processor time of all decisions.
        slowest: That of the slowest one.
        last: The last picture.
    """

    seconds = slowest = 0.0
    last: Picture | None = None

    def tell(self, results: Results) -> None:
        """Take results, and decide."""
        began = time.thread_time()
        super().tell(results)
        took = time.thread_time() - began
        self.seconds, self.slowest = self.seconds + took, max(self.slowest, took)

    def picture(self) -> Picture | None:
        """Return the picture, and keep it."""
        self.last = super().picture()
        return self.last


def main() -> None:
    """Simulate, print a table for each surface, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("full", nargs="+", type=Path)
    parser.add_argument("--points", default="51,251", help="of each axis")
    parser.add_argument("--ranks", default="1,16,64,256,1024,4096,16384")
    parser.add_argument("--seconds", default="0.1,1", help="of a point")
    parser.add_argument("--tolerance", type=float, default=0.01)
    parser.add_argument("--json", type=Path, default=RESULTS / "rounds.json")
    given = parser.parse_args()
    measured = json.loads((RESULTS / "simulation.json").read_text())["measured costs, seconds"][NETWORK]
    costs = replace(Costs(**measured), latency=LATENCY)
    rows = []
    for count in map(int, given.points.split(",")):
        whole = {}  # runs of every point: they take as long for each surface
        for path in given.full:
            full = store.read(path)
            values = resampled(full, count)
            own = []
            for seconds in map(float, given.seconds.split(",")):
                for ranks in (one for one in map(int, given.ranks.split(",")) if one <= count**2):
                    if (ranks, seconds) not in whole:
                        whole[ranks, seconds] = shared(ranks, seconds, (count, count), costs)["seconds"]
                    row = compare(full, values, ranks, seconds, costs, given.tolerance)
                    row["speed-up"] = whole[ranks, seconds] / row["refined, s"]
                    own.append({"surface": path.stem, **row, "full, s": whole[ranks, seconds]})
            show(f"{path.stem}, {count} x {count}", own)
            rows += own
    result = {"machine": describe(), "tolerance": given.tolerance, "rows": rows}
    given.json.write_text(json.dumps(result, indent=1) + "\n")


def resampled(full: Surface, count: int) -> np.ndarray:
    """Return all values of a surface on ``count`` x ``count`` points, ``(n_quantities, count, count)``."""
    assert full.beta is not None
    if full.shape == (count, count):
        return np.stack([full[name] for name in full.quantities])
    from scipy.interpolate import RectBivariateSpline

    beta, alpha = (np.linspace(axis[0], axis[-1], count) for axis in (full.beta, full.alpha))

    def between(values: np.ndarray) -> np.ndarray:
        return np.asarray(RectBivariateSpline(full.beta, full.alpha, values)(beta, alpha))

    return np.stack(
        [
            np.exp(between(np.log(full[name]))) if one.varies == "by factors" else np.clip(between(full[name]), 0, 1)
            for name, one in full.quantities.items()
        ]
    )


def shared(ranks: int, seconds: float, shape: tuple[int, int], costs: Costs, **plan: Any) -> dict[str, Any]:
    """Return what :func:`simulate` tells of a run."""
    return simulate(ranks, Points(seconds), shape, costs, batches=BATCHES, timer=time.thread_time, **plan)


def compare(
    full: Surface, values: np.ndarray, ranks: int, seconds: float, costs: Costs, tolerance: float
) -> dict[str, Any]:
    """Return what a refined run takes, beside the same points known from the beginning."""
    assert full.beta is not None
    rows, columns = values.shape[1:]
    grid = Grid(Axis(full.alpha[0], full.alpha[-1], columns), Axis(full.beta[0], full.beta[-1], rows))
    quantities: list[Quantity] = list(full.quantities.values())
    plans: list[Timed] = []

    def make() -> Timed:
        plans.append(Timed(grid, quantities, Tolerance(tolerance), digest="benchmark"))
        return plans[0]

    refined = shared(ranks, seconds, grid.rows, costs, plan=make, values=values)
    (plan,) = plans
    assert plan.last is not None
    computed = plan.last.computed
    known = shared(ranks, seconds, grid.rows, costs, plan=lambda: Everything.of(computed, grid))
    took = refined["seconds"]
    return {
        "points": rows * columns,
        "seconds of a point": seconds,
        "ranks": ranks,
        "computed": refined["points"],
        "audits": plan.last.refinement.audits,
        "ideal, s": refined["points"] * seconds / ranks,
        "refined, s": took,
        "known, s": known["seconds"],
        "idle by rounds": 1 - known["seconds"] / took,
        "decisions, s": plan.seconds,
        "slowest decision, s": plan.slowest,
        "picture, s": refined["picture"],
    }


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print the rows of one surface."""
    first = rows[0]
    share = f"{100 * first['computed'] / first['points']:.1f} % of the points, {first['audits']} audits"
    names = ("a point", "ranks", "ideal", "refined", "idle by rounds", "decisions", "picture", "full / refined")
    table = Table(*names, title=f"{title}: {share}")
    for row in rows:
        table.add_row(
            f"{row['seconds of a point']:g} s", f"{row['ranks']:,}", f"{row['ideal, s']:.2f} s",
            f"{row['refined, s']:.2f} s", f"{100 * row['idle by rounds']:.0f} %", f"{row['decisions, s']:.2f} s",
            f"{row['picture, s']:.2f} s", f"{row['speed-up']:.2f}",
        )  # fmt: skip
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
