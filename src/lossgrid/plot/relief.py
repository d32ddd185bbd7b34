"""One plane as a relief in three dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.ticker import MaxNLocator

from lossgrid.plot.coordinates import DrawnAxis
from lossgrid.plot.scale import Scale

MOST_FACES = 120  # along each axis; more are slow and too small to see
MESH = (1, 1, 1, 0.25)  # white, nearly transparent: shows the form without changing colours, as shading would
ELEVATION, AZIMUTH = 38, -58  # degrees
ELEVATION_CLIPPED = 55  # degrees: looks over the flat ceiling into the well


def draw_relief(
    axes: Any,
    alpha: DrawnAxis,
    beta: DrawnAxis,
    values: npt.NDArray[np.float64],
    *,
    scale: Scale,
    colours: Colormap,
) -> ScalarMappable:
    """Draw a plane as a relief; values above the scale form a flat ceiling.

    Args:
        axes: Where to draw, of the projection ``3d``.
        alpha: The axis of ``n_alpha`` coordinates.
        beta: The axis of ``n_beta`` coordinates.
        values: Shape ``(n_beta, n_alpha)``, float64; points not finite leave a hole.
        scale: The scale of the values; heights are transformed values.
        colours: The colours along the scale.

    Returns:
        The mappable for a colour bar.
    """
    low, high = scale.limits
    heights = np.ma.clip(scale.transform(values), low, high).filled(np.nan)
    columns, rows = np.meshgrid(alpha.coordinates, beta.coordinates)
    # A face has the colour of its centre; matplotlib uses that of one corner, which makes peaks lopsided.
    middles = heights.copy()
    middles[:-1, :-1] = (heights[:-1, :-1] + heights[1:, :-1] + heights[:-1, 1:] + heights[1:, 1:]) / 4
    faces = colours(scale.norm(middles))
    faces[~np.isfinite(middles)] = 0
    axes.plot_surface(
        columns, rows, heights, facecolors=faces, rcount=MOST_FACES, ccount=MOST_FACES,
        edgecolor=MESH, linewidth=0.2, shade=False, rasterized=True,
    )  # fmt: skip
    axes.set_xlim(*alpha.limits)
    axes.set_ylim(*beta.limits)
    axes.set_zlim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(4, prune="upper"))  # these two labels would meet in the front corner
    axes.yaxis.set_major_locator(MaxNLocator(4, prune="lower"))
    ticks = scale.ticks(5)
    axes.set_zticks(scale.transform(ticks).compressed(), [scale.write(tick) for tick in scale.transform(ticks)])
    axes.set_xlabel(alpha.label, labelpad=-4)
    axes.set_ylabel(beta.label, labelpad=-4)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((1, 1, 1, 0))
    axes.tick_params(pad=-1, labelsize=7)
    axes.view_init(elev=ELEVATION_CLIPPED if scale.above and not scale.log else ELEVATION, azim=AZIMUTH)
    axes.set_box_aspect((1, 1, 0.65))
    return ScalarMappable(scale.norm, colours)
