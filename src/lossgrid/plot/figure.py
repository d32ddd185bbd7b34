"""Whole figures: one surface, or several side by side on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, overload

import matplotlib
from matplotlib.axes import Axes

from lossgrid.errors import InputError
from lossgrid.plot.coordinates import refuse_coordinates
from lossgrid.plot.labels import title_of
from lossgrid.plot.line import draw_lines
from lossgrid.plot.options import FLAT, KINDS, PictureOptions, options_of
from lossgrid.plot.own_axes import draw_into, is_solid, refuse_other_axes
from lossgrid.plot.panels import draw_planes
from lossgrid.plot.picture import Picture
from lossgrid.plot.seal import ids_of
from lossgrid.plot.style import settings_of
from lossgrid.surface import Surface
from lossgrid.surface.lattice import whole_part


def kinds_of(surface: Surface) -> tuple[str, ...]:
    """Return the kinds of picture that fit ``surface``, the default first; contours need two points along each axis."""
    if surface.is_line:
        return ("line",)
    return KINDS[1:] if min(surface.shape) >= 2 else ("heat",)


@overload
def draw(surface: Surface, *, title: str | None = None, ax: None = None, **options: Any) -> Picture: ...
@overload
def draw(surface: Surface, *, title: str | None = None, ax: Axes, **options: Any) -> Axes: ...
def draw(surface: Surface, *, title: str | None = None, ax: Axes | None = None, **options: Any) -> Picture | Axes:
    """Draw one surface, as a new figure or into your axes.

    Args:
        surface: What to draw; points not finite or not computed stay blank.
        title: Text above; by default the model and the grid.
        ax: Your axes, in your style; the projection ``3d`` for ``kind="surface"``. None for a new figure.
        **options: Fields of :class:`~lossgrid.plot.options.PictureOptions`, such as ``kind="heat"``.

    Returns:
        The figure, which a notebook shows; ``ax`` if you gave them.

    Raises:
        InputError: The surface has no such metric, or cannot be drawn with these options or into these axes.
    """
    label, wanted = title_of(surface) if title is None else title, options_of(**options)
    if ax is None:
        return compose([surface], [label], wanted)
    fitting = kinds_of(surface)
    by_axes = "surface" if is_solid(ax) and "surface" in fitting else None  # where no kind is given
    kind = _choose_kind([surface], wanted.kind or by_axes, wanted)
    refuse_other_axes(ax, kind)
    refuse_coordinates([surface])
    draw_into(ax, whole_part(surface), replace(wanted, kind=kind), title=label)
    return ax


def side_by_side(
    surfaces: Sequence[Surface], labels: Sequence[str], *, title: str | None = None, **options: Any
) -> Picture:
    """Draw several surfaces with one scale for all: planes in a row, lines in the same axes.

    Args:
        surfaces: What to draw, all lines or all planes, which all have the metric.
        labels: A name for each.
        title: Text above all; by default none.
        **options: Fields of :class:`~lossgrid.plot.options.PictureOptions`, such as ``band=True``.

    Raises:
        InputError: The surfaces cannot be drawn with these options, or not together.
    """
    return compose(surfaces, labels, options_of(**options), title=title or "")


def compose(surfaces: Sequence[Surface], labels: Sequence[str], options: PictureOptions, *, title: str = "") -> Picture:
    """Draw surfaces into one figure; see :func:`side_by_side`."""
    if not surfaces or len(labels) != len(surfaces):
        raise InputError(f"expected one label for each surface, got {len(labels)} for {len(surfaces)}")
    surfaces = [whole_part(surface) for surface in surfaces]  # of a running job: the finest complete lattice
    kind = _choose_kind(surfaces, options.kind, options)
    if options.band and kind != "line" and len(surfaces) > 1:
        raise InputError("only lines are drawn with a band; planes are drawn side by side")
    refuse_coordinates(surfaces)
    settings = settings_of(options)
    with matplotlib.rc_context(settings):
        if kind == "line":
            one_name = len(surfaces) == 1 or (options.band and len(set(labels)) == 1)
            figure = draw_lines(surfaces, labels, options, title=title or (labels[0] if one_name else ""))
        else:
            figure = draw_planes(surfaces, labels, replace(options, kind=kind), title=title)
    figure.settings, figure.solid = settings, kind == "surface"
    figure.fixed = options.size is not None or figure.solid
    figure.drawn_from = ids_of(surfaces)
    return figure


def _choose_kind(surfaces: Sequence[Surface], kind: str | None, options: PictureOptions) -> str:
    """Return ``kind``, or without one the first that fits all surfaces; refuse one that does not fit."""
    if kind is not None and kind not in KINDS:
        raise InputError(f"--kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "surface" and (asked := [name for name in FLAT if getattr(options, name)]):
        name = asked[0].removesuffix("s") if asked[0] == "marks" else asked[0]
        raise InputError(f"--{name} does not fit --kind {kind}; use contourf, contour or heat")
    fitting = [name for name in KINDS if all(name in kinds_of(surface) for surface in surfaces)]
    if not fitting:
        raise InputError("lines and planes cannot be drawn together; draw them apart")
    if kind is None:
        return "contour" if options.style == "paper" and "contour" in fitting else fitting[0]
    if kind not in fitting:
        shape = next(surface for surface in surfaces if kind not in kinds_of(surface)).shape
        what = f"a line of {shape[0]}" if len(shape) == 1 else f"a plane of {shape[1]} x {shape[0]}"
        raise InputError(f"--kind {kind} does not fit {what} points; use {' or '.join(fitting)}")
    return kind
