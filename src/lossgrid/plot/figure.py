"""Whole figures: one surface, or several side by side on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from lossgrid.errors import InputError
from lossgrid.plot.coordinates import refuse_coordinates
from lossgrid.plot.line import draw_lines
from lossgrid.plot.panels import draw_planes
from lossgrid.plot.scale import ScaleOptions
from lossgrid.plot.words import title_of
from lossgrid.surface import Surface
from lossgrid.surface.lattice import whole_part

KINDS = ("line", "contourf", "contour", "heat", "surface")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 8,
    "grid.color": "0.88",
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.6,
    "figure.dpi": 120,
}


def kinds_of(surface: Surface) -> tuple[str, ...]:
    """Return the kinds of picture that fit ``surface``, the default first; contours need two points each way."""
    if surface.is_line:
        return ("line",)
    return KINDS[1:] if min(surface.shape) >= 2 else ("heat",)


def draw(
    surface: Surface,
    *,
    kind: str | None = None,
    metric: str | None = None,
    log: bool | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    levels: int | None = None,
    title: str | None = None,
) -> Figure:
    """Draw one surface.

    Args:
        surface: What to draw; points not finite or not computed stay blank.
        kind: One of ``KINDS``; by default ``line`` or ``contourf``.
        metric: Such as ``test_loss``; by default the first loss, for a line all of them.
        log: Whether the scale is logarithmic; by default where losses differ by more than 30 times.
        vmin: Lowest value of the scale, in the unit of the metric (accuracies are fractions).
        vmax: Highest value; by default one that leaves the centre readable.
        levels: About how many contours.
        title: Text above; by default the model and the grid.

    Raises:
        InputError: The surface has no such metric or cannot be drawn so.
    """
    title = title_of(surface) if title is None else title
    return _compose([surface], [title], kind, metric, ScaleOptions(log, vmin, vmax, levels), title="")


def side_by_side(
    surfaces: Sequence[Surface],
    labels: Sequence[str],
    *,
    kind: str | None = None,
    metric: str | None = None,
    log: bool | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    levels: int | None = None,
    title: str | None = None,
    band: bool = False,
) -> Figure:
    """Draw several surfaces with one scale for all: planes in a row, lines in the same axes.

    Args:
        surfaces: What to draw, all lines or all planes.
        labels: A name for each.
        kind: As for :func:`draw`, and so on.
        metric: One that all have.
        log: Whether the scale is logarithmic.
        vmin: Lowest value of the scale.
        vmax: Highest value of the scale.
        levels: About how many contours.
        title: Text above all; by default none.
        band: Draw lines with the same label as one: their mean in the band from the lowest to the highest.

    Raises:
        InputError: The surfaces cannot be drawn so, or not together.
    """
    if not surfaces or len(labels) != len(surfaces):
        raise InputError(f"expected one label for each surface, got {len(labels)} for {len(surfaces)}")
    options = ScaleOptions(log, vmin, vmax, levels)
    return _compose(surfaces, labels, kind, metric, options, title=title or "", band=band)


def _compose(
    surfaces: Sequence[Surface],
    labels: Sequence[str],
    kind: str | None,
    metric: str | None,
    options: ScaleOptions,
    *,
    title: str,
    band: bool = False,
) -> Figure:
    surfaces = [whole_part(surface) for surface in surfaces]  # of one that is being computed
    kind = _choose_kind(surfaces, kind)
    if band and kind != "line":
        raise InputError("only lines are drawn with a band; planes are drawn side by side")
    refuse_coordinates(surfaces)
    with matplotlib.rc_context(STYLE):
        if kind == "line":
            one_name = len(surfaces) == 1 or (band and len(set(labels)) == 1)
            heading = title or (labels[0] if one_name else "")
            return draw_lines(surfaces, labels, metric=metric, options=options, title=heading, band=band)
        return draw_planes(surfaces, labels, kind=kind, metric=metric, options=options, title=title)


def _choose_kind(surfaces: Sequence[Surface], kind: str | None) -> str:
    """Return the kind asked for, or the first that fits all surfaces."""
    if kind is not None and kind not in KINDS:
        raise InputError(f"--kind must be one of {', '.join(KINDS)}, got {kind!r}")
    fitting = [name for name in KINDS if all(name in kinds_of(surface) for surface in surfaces)]
    if not fitting:
        raise InputError("lines and planes cannot be drawn together; draw them apart")
    if kind is None:
        return fitting[0]
    if kind not in fitting:
        shape = next(surface for surface in surfaces if kind not in kinds_of(surface)).shape
        what = f"a line of {shape[0]}" if len(shape) == 1 else f"a plane of {shape[1]} x {shape[0]}"
        raise InputError(f"--kind {kind} does not fit {what} points; use {' or '.join(fitting)}")
    return kind
