"""Planes: one panel each, all on one scale, with one colour bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.contour import ContourSet
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, PercentFormatter

from lossgrid.plot.coordinates import are_alike, drawn_axis
from lossgrid.plot.interpolation import denser, parts_of, through
from lossgrid.plot.labels import ALPHA, BETA, TITLE, clipping, missing, plain, text_of, with_unit
from lossgrid.plot.notes import notes_of, room_for, write_notes
from lossgrid.plot.options import PictureOptions
from lossgrid.plot.picture import Picture
from lossgrid.plot.plane import draw_plane, mark_points, thinning
from lossgrid.plot.relief import draw_relief
from lossgrid.plot.scale import Scale, choose_scale
from lossgrid.plot.style import as_published
from lossgrid.surface import Quantity, Surface
from lossgrid.wording import of_shape

PANEL, BAR = 3.4, 1.5  # inches
RELIEF = 200  # points along an axis of a smooth relief
MOST_COLUMNS = 4
GREYS = "0.45", "0.87"  # of values beyond the scale, on its good and on its bad side
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
    notes = notes_of(surfaces, labels, width=PANEL * _columns(len(surfaces)) + BAR)
    remark = look.remark(surfaces)
    figure, panels = _frame(surfaces, look.kind, room_for([*notes, remark] if remark else notes))
    mappable = ScalarMappable(look.scale.norm, look.colours)
    for axes, surface, label in zip(panels, surfaces, labels, strict=True):
        mappable, remarks = fill_panel(axes, surface, look)
        axes.set_title(plain(label, TITLE_OF_PANEL if len(surfaces) > 1 else TITLE))
        write_note(axes, "\n".join(remarks))
        _drop_inner_labels(axes)
    figure.suptitle(plain(title))
    if look.has_bar:
        add_bar(figure, panels, mappable, look, surfaces)
    write_notes(figure, notes, at_top=False, remark=remark)
    return figure


@dataclass(frozen=True)
class Look:
    """How all panels of a figure show their planes.

    Attributes:
        kind: The kind of picture, one of planes.
        quantity: The quantity that is drawn.
        scale: The scale of its values.
        colours: The colours along the scale.
        points: Whether computed points are marked.
        exact: Whether contours and reliefs are straight between points.
        paper: Whether the style is that of the paper.
    """

    kind: str
    quantity: Quantity
    scale: Scale
    colours: Colormap
    points: bool = False
    exact: bool = False
    paper: bool = False

    @property
    def has_bar(self) -> bool:
        """Whether a colour bar belongs to the picture."""
        return not (self.paper and self.kind in ("contour", "surface"))

    def parts(self, surface: Surface) -> int:
        """Return into how many parts each interval of ``surface`` is divided for drawing; 1 for straight lines."""
        if self.exact or self.kind == "heat":
            return 1
        return parts_of(surface.shape, *([RELIEF] if self.kind == "surface" else []))

    def remark(self, surfaces: Sequence[Surface]) -> str:
        """Return a remark: the points that smooth pictures are drawn through, what a missing colour bar would say."""
        shapes = [of_shape(reversed(surface.shape)) for surface in surfaces if self.parts(surface) > 1]
        smooth = f"drawn through {' and '.join(dict.fromkeys(shapes))} points" if shapes else ""
        clipped = "" if self.has_bar else clipping(self.scale).strip()
        return "; ".join(filter(None, (smooth, clipped)))


def look_of(surfaces: Sequence[Surface], options: PictureOptions) -> Look:
    """Return the look of planes on one scale; ``options`` have a kind of planes."""
    kind = options.kind
    assert kind is not None
    quantity = surfaces[0].quantity(options.metric)
    values = np.concatenate([surface[quantity.name].ravel() for surface in surfaces])
    by_factors, is_paper = quantity.varies == "by factors", options.style == "paper"
    if is_paper and kind == "contour" and by_factors:
        options = as_published(options, values)
    scale = choose_scale(values, options, by_factors=by_factors)
    return Look(
        kind, quantity, scale, _colours(quantity, kind), options.points, options.exact, is_paper
    )  # fmt: skip


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
    if kind == "surface":
        mappable = draw_relief(axes, alpha, beta, values, scale=look.scale, colours=look.colours)
    else:
        mappable = draw_plane(
            axes,
            alpha,
            beta,
            values,
            kind=kind,
            scale=look.scale,
            colours=look.colours,
            width=0.7 if look.paper else 1.0,
        )
        if look.points:
            mark_points(axes, *places, surface.computed)
        remarks += [thinning(surface)] if kind != "heat" else []
    return mappable, [text for text in remarks if text]


def _columns(count: int) -> int:
    """Return the number of columns of panels."""
    return math.ceil(count / math.ceil(count / MOST_COLUMNS))


def _frame(surfaces: Sequence[Surface], kind: str, room: float) -> tuple[Picture, list[Any]]:
    """Return an empty figure with room for notes below, and its panels, one per surface; equal axes are shared."""
    count = len(surfaces)
    columns = _columns(count)
    rows = math.ceil(count / columns)
    solid = kind == "surface"
    aspect = _aspect(surfaces)
    height = PANEL * rows * (0.9 if solid else aspect or 0.8) + 0.8
    figure = Picture(figsize=(PANEL * columns + BAR, height + room))
    share = room / (height + room)
    if solid:
        # No layout engine in 3-D: before matplotlib 3.11 it reserves the whole figure for the axes' decorations.
        sides = figure.subplotpars
        figure.subplots_adjust(bottom=share + sides.bottom * (1 - share), top=share + sides.top * (1 - share))
    else:
        figure.set_layout_engine(
            ConstrainedLayoutEngine(compress=True, h_pad=0.07, hspace=0.02, rect=(0, share, 1, 1 - share))
        )
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
    options: dict[str, Any] = {"ax": panels, "pad": 0.02, "aspect": 22 * math.ceil(len(panels) / MOST_COLUMNS)}
    if look.kind == "surface":
        options |= {"shrink": 0.6, "pad": 0.08}
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


def _colours(quantity: Quantity, kind: str) -> Colormap:
    """Return viridis, dark at good values, grey beyond its ends; for lines on white without its pale end."""
    good_is_high = quantity.better == "higher"
    share = np.linspace(0, 0.87 if kind == "contour" else 1, 256)
    good, bad = GREYS
    low, high = (bad, good) if good_is_high else (good, bad)
    colours = ListedColormap(matplotlib.colormaps["viridis"](share[::-1] if good_is_high else share))
    return colours.with_extremes(under=low, over=high)


def _drop_inner_labels(axes: Any) -> None:
    """Remove the labels of shared axes that are not at the edge; matplotlib removes their tick labels only."""
    spec = axes.get_subplotspec()
    if len(axes.get_shared_y_axes().get_siblings(axes)) > 1 and not spec.is_first_col():
        axes.set_ylabel("")
    if len(axes.get_shared_x_axes().get_siblings(axes)) > 1 and not spec.is_last_row():
        axes.set_xlabel("")


def write_note(axes: Any, text: str) -> None:
    """Write ``text`` into a corner of the panel."""
    if text:
        solid = hasattr(axes, "text2D")
        write = axes.text2D if solid else axes.text
        box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        x, side = (0.0, "left") if solid else (0.98, "right")
        write(x, 0.02, text, transform=axes.transAxes, ha=side, va="bottom", fontsize=6.5, color="0.3", bbox=box)
