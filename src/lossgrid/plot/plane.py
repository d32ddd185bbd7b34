"""One plane in one pair of axes: filled contours, contour lines or a heat map; ``values[j, i]`` at beta j, alpha i."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.contour import ContourSet
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from lossgrid.plot.coordinates import Drawn, edges
from lossgrid.plot.scale import Scale
from lossgrid.surface import Surface

BLANK, HATCH = "0.93", "0.80"  # greys of points without a value
LABEL_SIZE = 6.5  # points
FRAME = 0.04  # share of the axes along each edge where a contour is not labelled
MOST_ALONG = 1_000  # points along an axis that contours are drawn of: more than a picture has pixels
MOST_LABELLED = 1_000  # pieces of contours; of more, no label finds a place


def draw_plane(
    axes: Axes,
    alpha: Drawn,
    beta: Drawn,
    values: npt.NDArray[np.float64],
    *,
    kind: str,
    scale: Scale,
    colours: Colormap,
) -> ScalarMappable:
    """Draw a plane as ``kind``, ``contourf``, ``contour`` or ``heat``.

    Args:
        axes: Where to draw.
        alpha: Of ``n_alpha`` coordinates.
        beta: Of ``n_beta``.
        values: Shape ``(n_beta, n_alpha)``, float64; points not finite stay blank.
        kind: The way to draw.
        scale: Places of the values.
        colours: Colours of the places.

    Returns:
        What a colour bar is made of.
    """
    if kind != "heat":
        values = values[np.ix_(_shown(beta), _shown(alpha))]
        alpha, beta = (replace(axis, places=axis.places[_shown(axis)]) for axis in (alpha, beta))
    places = scale.place(values)
    if np.ma.is_masked(places):
        _hatch(axes)
    mappable = ScalarMappable(scale.norm, colours)
    if places.count():
        if kind == "heat":
            mappable = axes.pcolormesh(
                edges(alpha.places), edges(beta.places), places, norm=scale.norm, cmap=colours, rasterized=True
            )
        elif kind == "contourf":
            mappable = _bands(axes, alpha.places, beta.places, places, scale, colours)
        else:
            _lines(axes, alpha.places, beta.places, places, scale, colours)
    reach = edges if kind == "heat" else np.asarray
    axes.set_xlim(*_ends(reach(alpha.places)))
    axes.set_ylim(*_ends(reach(beta.places)))
    axes.set_xlabel(alpha.label)
    axes.set_ylabel(beta.label)
    if alpha.holds_zero and beta.holds_zero:
        ink, halo = ("black", "white") if kind == "contour" else ("white", "black")
        outline = [withStroke(linewidth=2.2, foreground=halo, alpha=0.6)]
        axes.plot(0, 0, "+", color=ink, markersize=7, markeredgewidth=1.1, path_effects=outline, zorder=5)
    return mappable


def thinning(surface: Surface) -> str:
    """Say how many points contours are drawn of, where these are not all; empty where they are."""
    left = [f"{MOST_ALONG} of {count}" for count in surface.shape if count > MOST_ALONG]
    return f"contours of {' and '.join(left)} points along an axis" if left else ""


def _shown(axis: Drawn) -> npt.NDArray[np.intp]:
    """Return which coordinates contours are drawn of, the first and the last among them."""
    count = len(axis.places)
    return np.asarray(np.linspace(0, count - 1, min(count, MOST_ALONG)).round(), dtype=np.intp)


def _ends(coordinates: npt.NDArray[np.float64]) -> tuple[float, float]:
    return float(coordinates[0]), float(coordinates[-1])


def _hatch(axes: Axes) -> None:
    """Cover the background, which shows where nothing is drawn over it."""
    axes.add_patch(
        Rectangle((0, 0), 1, 1, transform=axes.transAxes, fc=BLANK, ec=HATCH, hatch="////", linewidth=0, zorder=0)
    )


def _bands(
    axes: Axes, alpha: Any, beta: Any, places: np.ma.MaskedArray[Any, Any], scale: Scale, colours: Colormap
) -> ContourSet:
    """Draw filled contours with thin lines between them."""
    levels = scale.place(scale.levels).compressed()
    borders = np.unique([scale.limits[0], *levels, scale.limits[1]])
    bands = axes.contourf(alpha, beta, places, borders, norm=scale.norm, cmap=colours, extend=scale.extend)
    crossed = _crossed(levels, places)
    if crossed.size:
        axes.contour(alpha, beta, places, crossed, colors="white", linewidths=0.4, linestyles="solid", alpha=0.55)
    return bands


def _lines(
    axes: Axes, alpha: Any, beta: Any, places: np.ma.MaskedArray[Any, Any], scale: Scale, colours: Colormap
) -> None:
    """Draw contour lines with their values, on white where there are values."""
    axes.contourf(alpha, beta, np.zeros_like(places), [-1, 1], colors="white")
    crossed = _crossed(scale.place(scale.levels).compressed(), places)
    if crossed.size:
        lines = axes.contour(
            alpha, beta, places, crossed, norm=scale.norm, cmap=colours, linewidths=1.0, linestyles="solid"
        )
        axes.set_xlim(*_ends(alpha))
        axes.set_ylim(*_ends(beta))
        if sum(np.count_nonzero(path.codes == path.MOVETO) for path in lines.get_paths()) > MOST_LABELLED:
            return
        labels = axes.clabel(lines, fmt=scale.write, fontsize=LABEL_SIZE, inline=False)
        _thin_out(axes, list(labels))


def _crossed(levels: npt.NDArray[np.float64], places: np.ma.MaskedArray[Any, Any]) -> npt.NDArray[np.float64]:
    """Return the levels a contour can be at; matplotlib warns about an empty set."""
    return np.array([level for level in levels if places.min() < level < places.max()])


def _thin_out(axes: Axes, labels: list[Any]) -> None:
    """Keep the labels that overlap neither an earlier one nor the frame; a halo sets them off from their line.

    Of a chaotic surface every islet would be labelled; labels that cover each other say nothing.
    """
    width, height = axes.bbox.width, axes.bbox.height  # pixels
    kept: list[tuple[float, float, float]] = []
    for label in labels:
        x, y = axes.transLimits.transform(label.get_position())
        wide = len(label.get_text().replace(r"\times", "x").strip("${}")) * 0.7
        pixels = LABEL_SIZE / 72 * axes.figure.dpi  # of one character
        free = all(
            abs(x - a) * width > pixels * (wide + w) / 2 or abs(y - b) * height > 1.6 * pixels for a, b, w in kept
        )
        if free and FRAME < x < 1 - FRAME and FRAME < y < 1 - FRAME:
            kept.append((x, y, wide))
            label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        else:
            label.remove()
