"""Planes: one panel each, all on one scale, with one colour bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, PercentFormatter

from lossgrid.plot.plane import draw_plane
from lossgrid.plot.relief import draw_relief
from lossgrid.plot.scale import Scale, ScaleOptions, choose_scale
from lossgrid.plot.words import choose_metric, clipping, is_accuracy, is_loss, missing, quantity
from lossgrid.store.surface import Surface

PANEL = 3.4  # inches
MOST_COLUMNS = 4


def draw_planes(
    surfaces: Sequence[Surface],
    labels: Sequence[str],
    *,
    kind: str,
    metric: str | None,
    options: ScaleOptions,
    title: str,
) -> Figure:
    """Draw planes into one figure, in rows of panels.

    Args:
        surfaces: The planes.
        labels: What is written above each panel.
        kind: ``contourf``, ``contour``, ``heat`` or ``surface``.
        metric: What to draw; None for the first loss.
        options: The scale.
        title: Text above all panels.
    """
    metric = choose_metric(surfaces[0], metric)
    values = np.concatenate([surface[metric].ravel() for surface in surfaces])
    scale = choose_scale(values, options, is_loss=is_loss(metric))
    colours = _colours(metric, kind)
    figure, panels = _frame(surfaces, kind)
    mappable = ScalarMappable(scale.norm, colours)
    for axes, surface, label in zip(panels, surfaces, labels, strict=True):
        alpha, beta = surface.alpha, np.asarray(surface.beta)
        if kind == "surface":
            mappable = draw_relief(axes, alpha, beta, surface[metric], scale=scale, colours=colours)
        else:
            mappable = draw_plane(axes, alpha, beta, surface[metric], kind=kind, scale=scale, colours=colours)
        axes.set_title(label)
        _note(axes, missing(surface, [metric]))
        _drop_inner_labels(axes)
    figure.suptitle(title)
    _add_bar(figure, panels, mappable, scale, kind, metric).set_label(quantity(surfaces, metric) + clipping(scale))
    return figure


def _frame(surfaces: Sequence[Surface], kind: str) -> tuple[Figure, list[Any]]:
    """Make the empty figure with a panel per surface, sharing axes where ranges agree."""
    count = len(surfaces)
    rows = math.ceil(count / MOST_COLUMNS)
    columns = math.ceil(count / rows)
    solid = kind == "surface"
    aspect = _aspect(surfaces)
    height = 0.9 if solid else aspect or 0.8
    # No engine in three dimensions: before matplotlib 3.11 it takes the whole figure for the axes' decorations.
    layout = None if solid else ConstrainedLayoutEngine(compress=True, h_pad=0.07, hspace=0.02)
    figure = Figure(figsize=(PANEL * columns + 1.5, PANEL * rows * height + 0.8), layout=layout)
    panels = figure.subplots(
        rows, columns, squeeze=False,
        sharex=not solid and rows * columns == count and _agree([surface.alpha for surface in surfaces]),
        sharey=not solid and _agree([np.asarray(surface.beta) for surface in surfaces]),
        subplot_kw={"projection": "3d"} if solid else {"box_aspect": aspect},
    ).ravel()  # fmt: skip
    for axes in panels[count:]:
        axes.remove()
    return figure, list(panels[:count])


def _add_bar(figure: Figure, panels: list[Any], mappable: ScalarMappable, scale: Scale, kind: str, metric: str) -> Any:
    """Put the colour bar beside the panels, with round values at it."""
    place: dict[str, Any] = {"ax": panels, "pad": 0.02, "aspect": 22 * math.ceil(len(panels) / MOST_COLUMNS)}
    if kind == "surface":
        place |= {"shrink": 0.6, "pad": 0.08}
    if not isinstance(mappable, ContourSet):  # which brings it along
        place["extend"] = scale.extend
    bar = figure.colorbar(mappable, spacing="proportional", **place)
    bar.set_ticks(scale.place(scale.ticks()).compressed())
    bar.minorticks_off()
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1) if is_accuracy(metric) else FuncFormatter(scale.write))
    bar.outline.set_linewidth(0.6)
    return bar


def _aspect(surfaces: Sequence[Surface]) -> float | None:
    """Return height / width of the panels where alpha and beta span similar lengths, so that circles stay round."""
    spans = [(np.ptp(surface.alpha), np.ptp(np.asarray(surface.beta))) for surface in surfaces]
    ratios = [float(high / wide) if wide else 0.0 for wide, high in spans]
    return ratios[0] if np.allclose(ratios, ratios[0]) and 0.5 <= ratios[0] <= 2 else None


def _agree(coordinates: Sequence[npt.NDArray[np.float64]]) -> bool:
    """Tell whether all surfaces have the same coordinates along an axis."""
    first = coordinates[0]
    return all(len(one) == len(first) and np.allclose(one, first) for one in coordinates)


def _colours(metric: str, kind: str) -> Colormap:
    """Return viridis, dark where the network is good; without the pale end for lines on white."""
    good_is_high = is_accuracy(metric)
    share = np.linspace(0, 0.87 if kind == "contour" else 1, 256)
    return ListedColormap(matplotlib.colormaps["viridis"](share[::-1] if good_is_high else share))


def _drop_inner_labels(axes: Any) -> None:
    """Name shared axes once, at the edge of the figure; matplotlib does so for their ticks only."""
    place = axes.get_subplotspec()
    if len(axes.get_shared_y_axes().get_siblings(axes)) > 1 and not place.is_first_col():
        axes.set_ylabel("")
    if len(axes.get_shared_x_axes().get_siblings(axes)) > 1 and not place.is_last_row():
        axes.set_xlabel("")


def _note(axes: Any, text: str) -> None:
    """Write what is missing into a corner of the panel."""
    if text:
        solid = hasattr(axes, "text2D")
        write = axes.text2D if solid else axes.text
        box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        x, side = (0.0, "left") if solid else (0.98, "right")
        write(x, 0.02, text, transform=axes.transAxes, ha=side, va="bottom", fontsize=6.5, color="0.3", bbox=box)
