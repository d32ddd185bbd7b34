"""Whole figures: one surface, or several side by side on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from lossgrid.errors import InputError
from lossgrid.plot.coordinates import refuse_coordinates
from lossgrid.plot.labels import title_of
from lossgrid.plot.line import draw_lines
from lossgrid.plot.options import KINDS, PictureOptions
from lossgrid.plot.panels import draw_planes
from lossgrid.surface import Surface
from lossgrid.surface.lattice import whole_part

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
    """Return the kinds of picture that fit ``surface``, the default first; contours need two points along each axis."""
    if surface.is_line:
        return ("line",)
    return KINDS[1:] if min(surface.shape) >= 2 else ("heat",)


def draw(surface: Surface, *, title: str | None = None, **options: Any) -> Figure:
    """Draw one surface.

    Args:
        surface: What to draw; points not finite or not computed stay blank.
        title: Text above; by default the model and the grid.
        **options: Fields of :class:`~lossgrid.plot.options.PictureOptions`, such as ``kind="heat"``.

    Raises:
        InputError: The surface has no such metric or cannot be drawn with these options.
    """
    return compose([surface], [title_of(surface) if title is None else title], PictureOptions(**options))


def side_by_side(
    surfaces: Sequence[Surface], labels: Sequence[str], *, title: str | None = None, **options: Any
) -> Figure:
    """Draw several surfaces with one scale for all: planes in a row, lines in the same axes.

    Args:
        surfaces: What to draw, all lines or all planes, which all have the metric.
        labels: A name for each.
        title: Text above all; by default none.
        **options: Fields of :class:`~lossgrid.plot.options.PictureOptions`, such as ``band=True``.

    Raises:
        InputError: The surfaces cannot be drawn with these options, or not together.
    """
    return compose(surfaces, labels, PictureOptions(**options), title=title or "")


def compose(surfaces: Sequence[Surface], labels: Sequence[str], options: PictureOptions, *, title: str = "") -> Figure:
    """Draw surfaces into one figure; see :func:`side_by_side`."""
    if not surfaces or len(labels) != len(surfaces):
        raise InputError(f"expected one label for each surface, got {len(labels)} for {len(surfaces)}")
    surfaces = [whole_part(surface) for surface in surfaces]  # of a running job: the finest complete lattice
    kind = _choose_kind(surfaces, options.kind)
    if options.band and kind != "line" and len(surfaces) > 1:
        raise InputError("only lines are drawn with a band; planes are drawn side by side")
    refuse_coordinates(surfaces)
    with matplotlib.rc_context(STYLE):
        if kind == "line":
            one_name = len(surfaces) == 1 or (options.band and len(set(labels)) == 1)
            return draw_lines(surfaces, labels, options, title=title or (labels[0] if one_name else ""))
        return draw_planes(surfaces, labels, replace(options, kind=kind), title=title)


def _choose_kind(surfaces: Sequence[Surface], kind: str | None) -> str:
    """Return ``kind``, or without one the first that fits all surfaces; refuse one that does not fit."""
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
