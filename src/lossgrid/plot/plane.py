"""One plane in one pair of axes: filled contours, contour lines or a heat map; arrays are ``[beta, alpha]``."""

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

from lossgrid.plot.coordinates import DrawnAxis, edges
from lossgrid.plot.scale import Scale
from lossgrid.surface import Surface

BLANK, HATCH = "0.93", "0.80"  # greys of points without a value
LABEL_SIZE = 6.5  # points
FRAME = 0.04  # fraction of the axes along each edge, in which contours have no labels
POINTS_WIDE, LEAST_DOT, MOST_DOT = 100, 0.4, 3.0  # of all dots in a row, and of one dot; in typographic points
MOST_ALONG = 1_000  # points along an axis that contours are computed from: about the pixels of a picture
MOST_LABELLED = 1_000  # pieces of contours; more leave no room for labels


def draw_plane(
    axes: Axes,
    alpha: DrawnAxis,
    beta: DrawnAxis,
    values: npt.NDArray[np.float64],
    *,
    kind: str,
    scale: Scale,
    colours: Colormap,
    width: float = 1.0,
) -> ScalarMappable:
    """Draw a plane as ``kind``, ``contourf``, ``contour`` or ``heat``.

    Args:
        axes: Where to draw.
        alpha: The axis of ``n_alpha`` coordinates.
        beta: The axis of ``n_beta`` coordinates.
        values: Shape ``(n_beta, n_alpha)``, float64; points not finite stay blank.
        kind: The kind of picture.
        scale: The scale of the values.
        colours: The colours along the scale, and beyond its ends.
        width: Of contour lines, in points.

    Returns:
        The mappable for a colour bar.
    """
    if kind != "heat":
        values = values[np.ix_(_shown(beta), _shown(alpha))]
        alpha, beta = (replace(axis, coordinates=axis.coordinates[_shown(axis)]) for axis in (alpha, beta))
    transformed = scale.transform(values)
    if np.ma.is_masked(transformed):
        _hatch(axes)
    mappable = ScalarMappable(scale.norm, colours)
    if transformed.count():
        if kind == "heat":
            mappable = axes.pcolormesh(
                edges(alpha.coordinates),
                edges(beta.coordinates),
                transformed,
                norm=scale.norm,
                cmap=colours,
                rasterized=True,
            )
        elif kind == "contourf":
            mappable = _bands(axes, alpha.coordinates, beta.coordinates, transformed, scale, colours)
        else:
            _lines(axes, alpha.coordinates, beta.coordinates, transformed, scale, colours, width)
    reach = edges if kind == "heat" else np.asarray
    axes.set_xlim(*_ends(reach(alpha.coordinates)))
    axes.set_ylim(*_ends(reach(beta.coordinates)))
    axes.set_xlabel(alpha.label)
    axes.set_ylabel(beta.label)
    if alpha.holds_zero and beta.holds_zero:
        ink, halo = ("black", "white") if kind == "contour" else ("white", "black")
        outline = [withStroke(linewidth=2.2, foreground=halo, alpha=0.6)]
        axes.plot(0, 0, "+", color=ink, markersize=7, markeredgewidth=1.1, path_effects=outline, zorder=5)
    return mappable


def mark_points(axes: Axes, alpha: DrawnAxis, beta: DrawnAxis, marked: npt.NDArray[np.bool_]) -> None:
    """Draw a dot at each point that is ``marked``, shape ``(n_beta, n_alpha)``; its size leaves room between them."""
    rows, columns = np.nonzero(marked)
    size = float(np.clip(POINTS_WIDE / max(marked.shape), LEAST_DOT, MOST_DOT))
    # Two markers, one on the other: a stroke around thousands of them takes twice as long as all else in a picture.
    for colour, part in (((0, 0, 0, 0.5), 1.6), ("white", 1.0)):
        axes.plot(
            alpha.coordinates[columns], beta.coordinates[rows], ".", color=colour, markersize=part * size,
            markeredgewidth=0, rasterized=True, zorder=4,
        )  # fmt: skip


def thinning(surface: Surface) -> str:
    """Return a note on the points that contours are computed from; empty if these are all."""
    left = [f"{MOST_ALONG} of {count}" for count in surface.shape if count > MOST_ALONG]
    return f"contours of {' and '.join(left)} points along an axis" if left else ""


def _shown(axis: DrawnAxis) -> npt.NDArray[np.intp]:
    """Return the indices of the coordinates that contours are computed from, with both ends."""
    count = len(axis.coordinates)
    return np.asarray(np.linspace(0, count - 1, min(count, MOST_ALONG)).round(), dtype=np.intp)


def _ends(coordinates: npt.NDArray[np.float64]) -> tuple[float, float]:
    return float(coordinates[0]), float(coordinates[-1])


def _hatch(axes: Axes) -> None:
    """Hatch the background; it shows where points have no value."""
    axes.add_patch(
        Rectangle((0, 0), 1, 1, transform=axes.transAxes, fc=BLANK, ec=HATCH, hatch="////", linewidth=0, zorder=0)
    )


def _bands(
    axes: Axes, alpha: Any, beta: Any, transformed: np.ma.MaskedArray[Any, Any], scale: Scale, colours: Colormap
) -> ContourSet:
    """Draw filled contours with thin lines between them."""
    levels = scale.transform(scale.levels).compressed()
    borders = np.unique([scale.limits[0], *levels, scale.limits[1]])
    bands = axes.contourf(alpha, beta, transformed, borders, norm=scale.norm, cmap=colours, extend=scale.extend)
    crossed = _crossed(levels, transformed)
    if crossed.size:
        axes.contour(alpha, beta, transformed, crossed, colors="white", linewidths=0.4, linestyles="solid", alpha=0.55)
    return bands


def _lines(
    axes: Axes,
    alpha: Any,
    beta: Any,
    transformed: np.ma.MaskedArray[Any, Any],
    scale: Scale,
    colours: Colormap,
    width: float,
) -> None:
    """Draw contour lines with their values, on white where there are values, on grey where these are off the scale."""
    low, high = scale.limits
    borders = [min(low, transformed.min()) - 1, low, high, max(high, transformed.max()) + 1]
    grounds = [colours.get_under(), "white", colours.get_over()]
    axes.contourf(alpha, beta, transformed, borders, colors=grounds)
    crossed = _crossed(scale.transform(scale.levels).compressed(), transformed)
    if crossed.size:
        lines = axes.contour(
            alpha, beta, transformed, crossed, norm=scale.norm, cmap=colours, linewidths=width, linestyles="solid"
        )
        axes.set_xlim(*_ends(alpha))
        axes.set_ylim(*_ends(beta))
        if sum(np.count_nonzero(path.codes == path.MOVETO) for path in lines.get_paths()) > MOST_LABELLED:
            return
        labels = axes.clabel(lines, fmt=scale.write, fontsize=LABEL_SIZE, inline=False)
        _thin_out(axes, list(labels))


def _crossed(levels: npt.NDArray[np.float64], transformed: np.ma.MaskedArray[Any, Any]) -> npt.NDArray[np.float64]:
    """Return the levels that have a contour; matplotlib warns about the others."""
    return np.array([level for level in levels if transformed.min() < level < transformed.max()])


def _thin_out(axes: Axes, labels: list[Any]) -> None:
    """Remove labels that overlap an earlier label or the frame; draw a halo around the others.

    Without this, every islet of a chaotic surface has a label, and labels cover each other.
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
            label.set_path_effects([withStroke(linewidth=2, foreground="white")])
        else:
            label.remove()
