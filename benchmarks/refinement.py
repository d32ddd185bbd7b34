"""How many points a picture needs: refinement beside other ways to choose points, on surfaces computed in full.

    python benchmarks/refinement.py FULL.h5... [--few FEW.h5] [--tolerance 0.01] [--json FILE]

Each surface is replayed: a point that a contestant asks for is read from the file. So all see the same truth, and none
computes anything. Errors are of the first loss, in shares of the range of its colours, at all points that were not
computed.

    refine      lossgrid: nested lattices, audit included, over several runs with other audits
    sampled     the same with --samples; FEW.h5 is the same surface on fewer samples (``--max-samples``), which the run
                would have estimated
    every 2nd   every 2nd line (or 3rd, ...) and a bicubic spline through them, in the logarithm
    learner2d   python-adaptive's Learner2D with as many points as refine, linear as it interpolates itself, and a
                Clough-Tocher spline through its points

The last needs ``pip install adaptive scipy``; without them it is left out, and says so. Work is in points; a point on
fewer samples counts by its share of the samples.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe
from rich.console import Console
from rich.table import Table

from lossgrid import store
from lossgrid.sampling import Refine, Tolerance
from lossgrid.sampling.ruler import Ruler
from lossgrid.surface import Grid, Results, Surface, Work
from lossgrid.surface.grid import equally_spaced

RESULT = Path(__file__).with_name("results") / "refinement.json"
RUNS = 8  # with other audits
AT_ONCE = 50  # points that are handed out before any is told


def main() -> None:
    """Compare, print a table for each surface, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("full", nargs="+", type=Path)
    parser.add_argument("--few", nargs="*", type=Path, default=[])
    parser.add_argument("--tolerance", type=float, default=0.01)
    parser.add_argument("--json", type=Path, default=RESULT)
    given = parser.parse_args()
    rows = []
    for number, path in enumerate(given.full):
        few = store.read(given.few[number]) if number < len(given.few) else None
        rows += compare(store.read(path), few, given.tolerance)
        show(rows[-1]["surface"], [row for row in rows if row["surface"] == rows[-1]["surface"]])
    result = {"machine": describe(), "tolerance": given.tolerance, "rows": rows}
    given.json.write_text(json.dumps(result, indent=1) + "\n")


def compare(full: Surface, few: Surface | None, share: float) -> list[dict[str, Any]]:
    """Return a row for each contestant on one surface."""
    assert full.path is not None
    quantity = full.quantity()
    truth = full[quantity.name].reshape(-1, len(full.alpha))
    ruler = Ruler.of(quantity, truth, Tolerance(share))
    rows = [row for row in (refined(full, None, share), few and refined(full, few, share)) if row]
    wanted = round(rows[0]["points"] * truth.size)
    for stride in range(2, 9):
        if max(truth.shape) // stride >= 4:
            rows.append(told(f"every {stride}", ruler, truth, *every(full, truth, stride)))
    rows += learned(full, truth, ruler, wanted)
    return [{"surface": full.path.stem, **row} for row in rows]


def told(name: str, ruler: Ruler, truth: np.ndarray, known: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """Return the row of a contestant that computed the points in ``known``."""
    off = ruler.distance(found, truth)[~known]
    off = np.zeros(1) if known.all() else off
    share = {"95 %": np.quantile(off, 0.95), "worst": off.max(), "wrong": np.mean(off > 1)}
    return {"name": name, "points": known.mean(), "work": known.mean(), **{key: float(v) for key, v in share.items()}}


def refined(full: Surface, few: Surface | None, share: float) -> dict[str, Any]:
    """Return the row of lossgrid's plan: medians over runs with other audits."""
    names = list(full.quantities)
    exact = np.stack([full[name].reshape(-1, len(full.alpha)) for name in names])
    cheap = None if few is None else np.stack([few[name].reshape(exact.shape[1:]) for name in names])
    count = 0 if few is None else int(few.origin.settings["max_samples"])
    total = count if few is None else samples_of(full)
    index = names.index(full.quantity().name)
    rows = []
    for run in range(RUNS):
        grid = Grid(equally_spaced(full.alpha), None if full.beta is None else equally_spaced(full.beta))
        plan = Refine(grid, list(full.quantities.values()), Tolerance(share), digest=f"benchmark {run}", samples=count)
        while not plan.is_over:
            answer(plan, exact, cheap)
        picture = plan.picture()
        assert picture is not None
        ruler = Ruler.of(full.quantity(), exact[index], Tolerance(share))
        row = told("refine", ruler, exact[index], picture.computed, picture.values[index])
        wrong = picture.refinement.most_wrong.get(full.quantity().name, 0) / max(1, np.count_nonzero(~picture.computed))
        rows.append({**row, "work": picture.work_of(total) / exact[0].size, "bound": wrong})
    found = {key: float(np.median([row[key] for row in rows])) for key in rows[0] if key != "name"}
    work = [row["work"] for row in rows]
    name = "refine" if few is None else f"sampled, {count} of {total}"
    return {"name": name, **found, "least work": min(work), "most work": max(work)}


def answer(plan: Refine, exact: np.ndarray, cheap: np.ndarray | None = None, *, at_once: int = AT_ONCE) -> None:
    """Tell a plan the values of the next points that it asks for.

    Args:
        plan: The plan.
        exact: All values, ``(n_quantities, n_beta, n_alpha)``, float64.
        cheap: Those on fewer samples, of the same shape; None in a run without them.
        at_once: So many points are asked for before any is told.
    """
    asked: list[Work] = []
    while sum(map(len, asked)) < at_once and (work := plan.ask(at_once)) is not None:
        asked.append(work)
    for work in asked:
        at = (slice(None), work.row, slice(work.start, work.stop, work.step))
        values = exact[at] if not work.samples else np.full(exact[at].shape, np.nan)
        both = values if cheap is None else np.concatenate([values, cheap[at]])
        plan.tell(Results(work, both.T, np.zeros_like(both.T), np.ones(len(work))))


def samples_of(surface: Surface) -> int:
    """Return the number of samples of a surface on all of them; it was run with ``--max-samples``."""
    return int(surface.origin.settings["max_samples"])


def every(full: Surface, truth: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which points are on every ``stride``-th line, the last one included, and a bicubic spline of them."""
    from scipy.interpolate import RectBivariateSpline

    rows, columns = (np.unique([*range(0, n, stride), n - 1]) for n in truth.shape)
    known = np.zeros(truth.shape, dtype=bool)
    known[np.ix_(rows, columns)] = True
    beta = np.asarray(full.beta)
    degree = min(3, len(rows) - 1), min(3, len(columns) - 1)
    spline = RectBivariateSpline(
        beta[rows], full.alpha[columns], np.log(truth[np.ix_(rows, columns)]), kx=degree[0], ky=degree[1]
    )
    return known, np.exp(spline(beta, full.alpha))


def learned(full: Surface, truth: np.ndarray, ruler: Ruler, wanted: int) -> list[dict[str, Any]]:
    """Return the rows of python-adaptive's Learner2D, whose points are moved to the nearest of the grid."""
    try:
        from adaptive import Learner2D
        from scipy.interpolate import CloughTocher2DInterpolator
    except ImportError:
        print("learner2d is left out: pip install adaptive scipy")
        return []
    alpha, beta, logs = full.alpha, np.asarray(full.beta), np.log(truth)

    def nearest(point: tuple[float, float]) -> tuple[int, int]:
        return int(np.abs(beta - point[1]).argmin()), int(np.abs(alpha - point[0]).argmin())

    learner = Learner2D(lambda point: float(logs[nearest(point)]), bounds=[(alpha[0], alpha[-1]), (beta[0], beta[-1])])
    known = np.zeros(truth.shape, dtype=bool)
    while np.count_nonzero(known) < wanted:
        (point,), _ = learner.ask(1)
        at = nearest(point)
        known[at] = True
        learner.tell(point, float(logs[at]))
    columns, rows = np.meshgrid(alpha, beta)
    places = np.stack([columns[known], rows[known]], axis=1)
    ways: dict[str, Callable[..., Any]] = {
        "learner2d, linear": learner.interpolator(scaled=False),
        "learner2d, Clough-Tocher": CloughTocher2DInterpolator(places, logs[known]),
    }
    found = {name: np.exp(np.asarray(way(columns, rows)).reshape(truth.shape)) for name, way in ways.items()}
    return [told(name, ruler, truth, known, np.where(known, truth, values)) for name, values in found.items()]


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print the rows of one surface."""
    table = Table("contestant", "points", "work", "off at 95 %", "worst", "wrong", "at most, 95 % sure", title=title)
    for row in rows:
        bound = f"{100 * row['bound']:.1f} %" if "bound" in row else ""
        numbers = (f"{100 * row[key]:.1f} %" for key in ("points", "work"))
        table.add_row(
            row["name"], *numbers, f"{row['95 %']:.2f}", f"{row['worst']:.1f}", f"{100 * row['wrong']:.1f} %", bound
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
