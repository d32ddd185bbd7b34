"""Planes: one panel each, all on one scale, with one colour bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.contour import ContourSet
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, PercentFormatter

from lossgrid.plot.coordinates import are_alike, drawn_axis
from lossgrid.plot.interpolation import denser, through
from lossgrid.plot.labels import ALPHA, BETA, clipping, missing, plain, text_of, with_unit
from lossgrid.plot.look import Look, look_of
from lossgrid.plot.marginals import draw_marginals
from lossgrid.plot.marks import draw_marks
from lossgrid.plot.notes import notes_of, room_for, write_notes
from lossgrid.plot.options import PictureOptions
from lossgrid.plot.picture import Picture
from lossgrid.plot.plane import draw_plane, mark_points, thinning
from lossgrid.plot.relief import draw_relief
from lossgrid.surface import Surface

PANEL, BAR = 3.4, 1.5  # inches
BAR_OFF, BAR_WIDE = 1.1, 0.14  # inches: from the right of the figure; width
RELIEF, BARE = 0.88, 0.7  # height / width of the panel of a relief, with axes and without
EDGE, LABELS = 0.15, 0.7  # inches, beside reliefs; of labels beside flat panels
GAP = 0.035  # between panels, as a fraction of their width
MOST_COLUMNS = 4
THIN = 0.7  # points: contour lines in the style of the paper
TITLE = 0.35  # inches above reliefs
TITLE_ALONE = 64  # otherwise
TITLE_OF_PANEL = 42  # characters of a panel's title if there are several panels


def draw_planes(
    surfaces: Sequence[Surface],
    labels: Sequence[str],
    options: PictureOptions,
    *,
    title: str,
) -> Picture:
    """Draw planes into one figure, in rows of panels.

    Args:
        surfaces: The planes.
        labels: The titles of the panels.
        options: Those of the picture, with a kind of planes.
        title: Text above all panels.
    """
    look = look_of(surfaces, options)
    size = options.size or _size_of(surfaces, look)
    notes, remark = notes_of(surfaces, labels, width=size[0]), look.remark(surfaces)
    figure, panels = _frame(surfaces, look, size, room_for([*notes, remark] if remark else notes))
    mappable = ScalarMappable(look.scale.norm, look.colours)
    for axes, surface, label in zip(panels, surfaces, labels, strict=True):
        mappable, remarks = fill_panel(axes, surface, look)
        axes.set_title(plain(label, TITLE_OF_PANEL if len(surfaces) > 1 else TITLE_ALONE))
        write_note(axes, "\n".join(remarks))
        _drop_inner_labels(axes)
    figure.suptitle(plain(title))
    if look.has_bar:
        add_bar(figure, panels, mappable, look, surfaces)
    write_notes(figure, notes, at_top=False, remark=remark)
    return figure


def fill_panel(axes: Any, surface: Surface, look: Look) -> tuple[ScalarMappable, list[str]]:
    """Draw a plane into ``axes``; return the mappable for a colour bar, and remarks on its points."""
    kind, name = look.kind, look.quantity.name
    names = (r"$\alpha$", r"$\beta$") if kind == "surface" else (ALPHA, BETA)
    alpha, beta = drawn_axis(surface.alpha, names[0]), drawn_axis(np.asarray(surface.beta), names[1])
    values, remarks = surface[name], [missing(surface, [name])]
    places = alpha, beta
    if (parts := look.parts(surface)) > 1:
        by_factors = look.quantity.varies == "by factors"
        values = through(alpha.coordinates, beta.coordinates, values, parts, by_factors=by_factors)
        alpha, beta = (replace(axis, coordinates=denser(axis.coordinates, parts)) for axis in (alpha, beta))
    options = look.options
    drawing: dict[str, Any] = {"scale": look.scale, "colours": look.colours}
    if kind == "surface":
        mappable = draw_relief(axes, alpha, beta, values, **drawing, camera=options.camera, bare=look.is_paper)
    else:
        width = THIN if look.is_paper else 1.0
        mappable = draw_plane(axes, alpha, beta, values, kind=kind, **drawing, width=width)
        if options.points:
            mark_points(axes, *places, surface.computed)
        draw_marks(axes, *places, options.marks, on_white=kind == "contour")
        if options.marginals:
            draw_marginals(axes, *places, surface[name], scale=look.scale)
        remarks += [thinning(surface)] if kind != "heat" else []
    return mappable, [text for text in remarks if text]


def _columns(count: int) -> int:
    """Return the number of columns of panels."""
    return math.ceil(count / math.ceil(count / MOST_COLUMNS))


def _size_of(surfaces: Sequence[Surface], look: Look) -> tuple[float, float]:
    """Return width and height of the panels with titles and colour bar, in inches."""
    columns, rows = _columns(len(surfaces)), math.ceil(len(surfaces) / _columns(len(surfaces)))
    bar = BAR * look.has_bar
    if look.kind == "surface":
        height = PANEL * (BARE if look.is_paper else RELIEF)
        return PANEL * columns + bar + 2 * EDGE, height * rows + TITLE + EDGE
    margins = 0.4 * look.options.marginals * PANEL
    height = PANEL * (_aspect(surfaces) or 0.8) + 0.4 + margins
    return (PANEL + margins) * columns + (bar or LABELS), height * rows + 0.2


def _frame(
    surfaces: Sequence[Surface], look: Look, size: tuple[float, float], room: float
) -> tuple[Picture, list[Any]]:
    """Return an empty figure with room for notes below, and its panels, one per surface; equal axes are shared.

    A ``size`` that the user gave is that of the whole figure.
    """
    count = len(surfaces)
    columns = _columns(count)
    rows = math.ceil(count / columns)
    solid = look.kind == "surface"
    aspect = _aspect(surfaces)
    width, height = size if look.options.size else (size[0], size[1] + room)
    figure = Picture(figsize=(width, height))
    share = min(room / height, 0.5)
    if solid:
        # No layout engine in 3-D: before matplotlib 3.11 it reserves the whole figure for the axes' decorations.
        right = 1 - (BAR if look.has_bar else EDGE) / width
        below = (RELIEF - BARE) * PANEL * look.is_paper / height  # the box has no floor
        figure.subplots_adjust(
            left=EDGE / width, right=right, wspace=0, hspace=TITLE / height, bottom=share + EDGE / height - below,
            top=1 - TITLE / height,
        )  # fmt: skip
    else:
        figure.set_layout_engine(
            ConstrainedLayoutEngine(
                compress=True, h_pad=0.07, hspace=0.02, wspace=GAP, rect=(0, share, 1, 1 - share)
            )
        )  # fmt: skip
    panels = figure.subplots(
        rows, columns, squeeze=False,
        sharex=not solid and rows * columns == count and _agree([surface.alpha for surface in surfaces]),
        sharey=not solid and _agree([np.asarray(surface.beta) for surface in surfaces]),
        subplot_kw={"projection": "3d"} if solid else {"box_aspect": aspect},
    ).ravel()  # fmt: skip
    for axes in panels[count:]:
        axes.remove()
    return figure, list(panels[:count])


def add_bar(figure: Any, panels: list[Any], mappable: ScalarMappable, look: Look, surfaces: Sequence[Surface]) -> None:
    """Add the colour bar beside the panels, with ticks at round values, and label it."""
    scale, quantity = look.scale, look.quantity
    if look.kind == "surface" and isinstance(figure, Picture):  # to the right of all panels, which keep their places
        width = figure.get_figwidth()
        options: dict[str, Any] = {"cax": figure.add_axes((1 - BAR_OFF / width, 0.25, BAR_WIDE / width, 0.5))}
    else:
        options = {"ax": panels, "pad": 0.02, "aspect": 22 * math.ceil(len(panels) / MOST_COLUMNS)}
        options |= {"shrink": 0.6, "pad": 0.1} if look.kind == "surface" else {}
    if not isinstance(mappable, ContourSet):  # a ContourSet has its own
        options["extend"] = scale.extend
    bar = figure.colorbar(mappable, spacing="proportional", **options)
    bar.set_ticks(scale.transform(scale.ticks()).compressed())
    bar.minorticks_off()
    in_percent = quantity.is_share and scale.power == 0
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1) if in_percent else FuncFormatter(scale.write))
    bar.outline.set_linewidth(0.6)
    bar.set_label(plain(with_unit(text_of(quantity.name), quantity, surfaces)) + clipping(scale))


def _aspect(surfaces: Sequence[Surface]) -> float | None:
    """Return height / width of the panels that keeps circles round; None if the lengths of the axes differ much."""
    spans = [(_half(surface.alpha), _half(np.asarray(surface.beta))) for surface in surfaces]
    ratios = [high / wide if wide else 0.0 for wide, high in spans]
    return ratios[0] if np.allclose(ratios, ratios[0]) and 0.5 <= ratios[0] <= 2 else None


def _half(coordinates: npt.NDArray[np.float64]) -> float:
    """Return half the length of an axis; the whole length may overflow float64."""
    return float(coordinates[-1]) / 2 - float(coordinates[0]) / 2


def _agree(coordinates: Sequence[npt.NDArray[np.float64]]) -> bool:
    """Return whether all coordinates along an axis are the same."""
    return all(are_alike(coordinates[0], one) for one in coordinates)


def _drop_inner_labels(axes: Any) -> None:
    """Remove the labels of shared axes that are not at the edge; matplotlib removes their tick labels only."""
    spec = axes.get_subplotspec()
    if _is_shared(axes, axes.get_shared_y_axes()) and not spec.is_first_col():
        axes.set_ylabel("")
    if _is_shared(axes, axes.get_shared_x_axes()) and not spec.is_last_row():
        axes.set_xlabel("")


def _is_shared(axes: Any, group: Any) -> bool:
    """Return whether another panel shares an axis; marginal lines, which do too, are no panels."""
    return any(other is not axes and other.get_subplotspec() is not None for other in group.get_siblings(axes))


def write_note(axes: Any, text: str) -> None:
    """Write ``text`` into a corner of the panel."""
    if text:
        solid = hasattr(axes, "text2D")
        write = axes.text2D if solid else axes.text
        box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        (x, y), (side, end) = ((0.0, 0.97), ("left", "top")) if solid else ((0.98, 0.02), ("right", "bottom"))
        write(x, y, text, transform=axes.transAxes, ha=side, va=end, fontsize=6.5, color="0.3", bbox=box)
