"""Pictures of refinement: a full and a refined surface side by side, and how a picture grows.

    python benchmarks/experiments/refined.py beside [FULL.h5] [--tolerance 0.01] [--out FILE.png]
    python benchmarks/experiments/refined.py growth [FULL.h5] [--tolerance 0.01] [--out FILE.png]

FULL.h5 is a surface of lossgrid or of loss-landscape that was computed in full, by default ``../truth/resnet56.h5``. A
run with ``--tolerance`` is replayed from it: a point that the plan asks for is read from the file, and nothing is
computed. So the error of every interpolated point is known; it is told as a share of the range of colours.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path.append(str(BENCHMARKS))
from refinement import answer  # noqa: E402

from lossgrid import store  # noqa: E402
from lossgrid.formats.loss_landscape import import_file  # noqa: E402
from lossgrid.plot import PictureOptions  # noqa: E402
from lossgrid.plot.figure import STYLE  # noqa: E402
from lossgrid.plot.panels import Look, add_bar, fill_panel, look_of  # noqa: E402
from lossgrid.plot.picture import Picture as Figure  # noqa: E402
from lossgrid.sampling import Picture, Refine, Tolerance, completed  # noqa: E402
from lossgrid.sampling.ruler import Ruler  # noqa: E402
from lossgrid.surface import PENDING, Grid, Surface  # noqa: E402
from lossgrid.surface.grid import equally_spaced  # noqa: E402

TRUTH = BENCHMARKS / "truth" / "resnet56.h5"
GALLERY = BENCHMARKS / "gallery"
MOMENTS, COLUMNS = 8, 4  # of the growth
FEW = 8  # points that are handed out before any is told
DPI = 120


@dataclass(frozen=True)
class Moment:
    """A surface under way.

    Attributes:
        surface: As its plan predicts it.
        work: The share of the points that are computed.
        off: How far 95 % of the others are off at most, as a share of the range of colours.
    """

    surface: Surface
    work: float
    off: float

    def __str__(self) -> str:
        rest = "nothing interpolated" if self.work == 1 else f"95 % of others within {percent(self.off)}"
        return f"{percent(self.work)} of the work\n{rest}"


def percent(share: float) -> str:
    """Return a share in per cent, with two digits or as a whole number."""
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def main() -> None:
    """Draw what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("beside", "growth"))
    parser.add_argument("full", nargs="?", type=Path, default=TRUTH)
    parser.add_argument("--tolerance", type=float, default=0.01)
    parser.add_argument("--out", type=Path, help="the picture (default gallery/refined_WHAT_NAME.png)")
    given = parser.parse_args()
    full = whole(given.full)
    moments = replayed(full, given.tolerance)
    with matplotlib.rc_context(STYLE):
        figure = beside(full, moments[-1]) if given.what == "beside" else growth(full, spread(moments))
    out = given.out or GALLERY / f"refined_{given.what}_{given.full.stem}.png"
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(256).save(out, optimize=True)
    print(f"{out}: {moments[-1]}".replace("\n", ", "))


def whole(path: Path) -> Surface:
    """Return a surface of lossgrid or of loss-landscape."""
    try:
        return store.read(path)
    except ValueError:
        with tempfile.TemporaryDirectory() as folder:
            import_file(path, Path(folder) / "full.h5", overwrite=False)
            return store.read(Path(folder) / "full.h5")


def replayed(full: Surface, share: float) -> list[Moment]:
    """Return all moments of a run with a tolerance, from the first picture on."""
    names, shape = list(full.quantities), (-1, len(full.alpha))
    exact = np.stack([full[name].reshape(shape) for name in names])
    grid = Grid(equally_spaced(full.alpha), None if full.beta is None else equally_spaced(full.beta))
    plan = Refine(grid, list(full.quantities.values()), Tolerance(share), digest="gallery")
    found: list[Moment] = []
    while not plan.is_over:
        answer(plan, exact, at_once=FEW)
        if (picture := plan.picture()) is not None:
            found.append(moment(full, picture, names))
    return found


def moment(full: Surface, picture: Picture, names: Sequence[str]) -> Moment:
    """Return what a picture shows and how far it is off."""
    computed = picture.computed.reshape(full.shape)
    status = np.where(computed, full.status, PENDING).astype(np.uint8)
    surface = completed(replace(full, status=status, complete=False), picture, names)
    quantity = full.quantity()
    truth = full[quantity.name]
    # A ruler of the whole range: distances are shares of it.
    off = Ruler.of(quantity, truth, Tolerance(1.0)).distance(surface[quantity.name], truth)[~computed]
    return Moment(surface, float(computed.mean()), float(np.quantile(off, 0.95)) if off.size else 0.0)


def spread(moments: Sequence[Moment]) -> list[Moment]:
    """Return ``MOMENTS`` of all, the first and the last included, about equal factors of work apart."""
    works = np.log([one.work for one in moments])
    wanted = np.linspace(works[0], works[-1], MOMENTS)
    return [moments[int(np.abs(works - one).argmin())] for one in wanted[:-1]] + [moments[-1]]


def look_at(full: Surface, moments: Sequence[Moment], *, points: bool) -> Look:
    """Return the look of a full surface; what moments have beyond its range is clipped, and the picture tells so."""
    look = look_of([full], PictureOptions(kind="contourf", points=points))
    shown = np.concatenate([one.surface[look.quantity.name].ravel() for one in moments])
    below, above = bool((shown < look.scale.low).any()), bool((shown > look.scale.high).any())
    low = float(f"{look.scale.low:.2g}") if below else look.scale.low
    scale = replace(look.scale, low=low, below=below or look.scale.below, above=above or look.scale.above)
    return replace(look, scale=scale)


def beside(full: Surface, last: Moment) -> Figure:
    """Draw a full surface, and beside it the refined one with its computed points."""
    look = look_at(full, [last], points=False)
    figure = Figure(figsize=(7.6, 3.7), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True, subplot_kw={"box_aspect": 1})
    texts = (f"all {full.status.size:,} points", str(last).replace("\n", ", "))
    for axes, surface, points, text in zip(panels, (full, last.surface), (False, True), texts, strict=True):
        mappable, _ = fill_panel(axes, surface, replace(look, points=points))
        axes.set_title(text)
    panels[1].set_ylabel("")
    add_bar(figure, list(panels), mappable, look, [full])
    return figure


def growth(full: Surface, moments: Sequence[Moment]) -> Figure:
    """Draw the moments of a growing picture on one scale, with their computed points."""
    look = look_at(full, moments, points=True)
    rows = -(-len(moments) // COLUMNS)
    figure = Figure(figsize=(2.0 * COLUMNS + 0.9, 2.4 * rows), layout="constrained")
    panels: Any = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, subplot_kw={"box_aspect": 1})
    for axes, one in zip(panels.ravel(), moments, strict=True):
        mappable, _ = fill_panel(axes, one.surface, look)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_ylabel("")
        axes.set_xlabel(str(one), fontsize=7.5)
    add_bar(figure, list(panels.ravel()), mappable, look, [full])
    return figure


if __name__ == "__main__":
    main()
