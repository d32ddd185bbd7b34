"""One plane as a lit relief in three dimensions, with its contours on the floor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LightSource
from matplotlib.ticker import MaxNLocator

from lossgrid.plot.camera import CAMERA, Camera
from lossgrid.plot.coordinates import DrawnAxis
from lossgrid.plot.scale import Scale

Values = npt.NDArray[np.float64]
MOST_FACES = 240  # along each axis; more are slow and too small to see
HEIGHT = 0.6  # of the box, as a fraction of its sides
NEAR = 1.12  # zoom at which the box fills its axes
FLOOR = 0.3  # below the lowest value, as a fraction of the range
LEFT, ALTITUDE = 50.0, 45.0  # degrees: the light comes from the left of the viewer
DARKEST, BRIGHTEST = 0.6, 1.15  # factors of colours in shadow and in full light
GLOSS, SHINE = 0.14, 20  # brightness of highlights, and how small they are
SEAM = 0.25  # points: edges in the colours of their faces, without which the ground shows between faces


def draw_relief(
    axes: Any,
    alpha: DrawnAxis,
    beta: DrawnAxis,
    values: Values,
    *,
    scale: Scale,
    colours: Colormap,
    camera: Camera = CAMERA,
    bare: bool = False,
) -> ScalarMappable:
    """Draw a plane as a relief; values above the scale are cut off.

    Args:
        axes: Where to draw, of the projection ``3d``.
        alpha: The axis of ``n_alpha`` coordinates.
        beta: The axis of ``n_beta`` coordinates.
        values: Shape ``(n_beta, n_alpha)``, float64; points not finite leave a hole.
        scale: The scale of the values; heights are transformed values.
        colours: The colours along the scale, and beyond its ends.
        camera: From where it is seen.
        bare: Without axes and floor, as figure 1 of Li et al. 2018.

    Returns:
        The mappable for a colour bar.
    """
    low, high = scale.limits
    transformed = scale.transform(values)
    heights = np.ma.clip(transformed, low, high).filled(np.nan)
    columns, rows = np.meshgrid(alpha.coordinates, beta.coordinates)
    middles = _middles(transformed.filled(np.nan))
    faces = colours(scale.norm(np.clip(middles, low, high)))
    lit = _lit(_normals(alpha, beta, (heights - low) / (high - low)), faces[..., :3], camera)
    is_cut = _middles(heights) >= high  # all corners of the face are above the scale, or none is
    is_cut &= scale.above & (middles > high)
    faces[..., :3] = lit
    faces[..., 3] = np.where(np.isnan(middles) | is_cut, 0, 1)
    axes.computed_zorder = False  # the floor is behind the relief, whatever the camera
    axes.plot_surface(
        columns, rows, heights, facecolors=faces, rcount=MOST_FACES, ccount=MOST_FACES, linewidth=SEAM, shade=False,
        rasterized=True, clip_on=False, zorder=2,
    )  # fmt: skip
    floor = low if bare else low - FLOOR * (high - low)
    axes.set_xlim(*alpha.limits)
    axes.set_ylim(*beta.limits)
    axes.set_zlim(floor, high)
    axes.view_init(elev=camera.elev, azim=camera.azim)
    axes.set_box_aspect((1, 1, HEIGHT), zoom=NEAR * camera.zoom)
    if bare:
        axes.set_axis_off()
    else:
        _draw_floor(axes, columns, rows, transformed, scale, colours, floor)
        _draw_axes(axes, alpha, beta, scale)
    return ScalarMappable(scale.norm, colours)


def _middles(corners: Values) -> Values:
    """Return the mean of the corners of each face at its first corner, of the same shape; NaN if one is."""
    middles = np.full_like(corners, np.nan)
    middles[:-1, :-1] = (corners[:-1, :-1] + corners[1:, :-1] + corners[:-1, 1:] + corners[1:, 1:]) / 4
    return middles


def _normals(alpha: DrawnAxis, beta: DrawnAxis, heights: Values) -> Values:
    """Return the unit normals of the relief in its box, shape ``(n_beta, n_alpha, 3)``; NaN beside holes."""
    x, y = ((axis.coordinates - axis.coordinates[0]) / np.ptp(axis.coordinates) for axis in (alpha, beta))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # between points that lie on each other
        along_beta, along_alpha = np.gradient(HEIGHT * heights, y, x)
        normals = np.stack([-along_alpha, -along_beta, np.ones_like(heights)], axis=-1)
        return np.asarray(normals / np.linalg.norm(normals, axis=-1, keepdims=True))


def _lit(normals: Values, colours: Values, camera: Camera) -> Values:
    """Return the colours of faces, shape ``(n_beta, n_alpha, 3)``, in the light: Lambert's, with soft highlights."""
    source = LightSource(azdeg=90 - (camera.azim - LEFT), altdeg=ALTITUDE)  # counted from the north, as on maps
    up, around = np.radians(camera.elev), np.radians(camera.azim)
    viewer = np.array([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
    normals = np.nan_to_num(normals, nan=0.0)
    shade = DARKEST + (BRIGHTEST - DARKEST) * np.clip(normals @ source.direction, 0, 1)
    halfway = source.direction + viewer
    highlight = GLOSS * np.clip(normals @ (halfway / np.linalg.norm(halfway)), 0, 1) ** SHINE
    return np.asarray(np.clip(colours * shade[..., np.newaxis] + highlight[..., np.newaxis], 0, 1))


def _draw_floor(
    axes: Any, columns: Values, rows: Values, transformed: Any, scale: Scale, colours: Colormap, floor: float
) -> None:
    """Draw contours on the floor of the box."""
    levels = scale.transform(scale.levels).compressed()
    crossed = [level for level in levels if transformed.min() < level < transformed.max()]
    if crossed:
        lines = axes.contour(
            columns, rows, transformed, crossed, zdir="z", offset=floor, norm=scale.norm, cmap=colours, linewidths=0.6,
            alpha=0.8, zorder=1,
        )  # fmt: skip
        lines.set_clip_on(False)


def _draw_axes(axes: Any, alpha: DrawnAxis, beta: DrawnAxis, scale: Scale) -> None:
    """Set ticks and labels; draw the walls of the box faintly."""
    axes.xaxis.set_major_locator(MaxNLocator(4, prune="upper"))  # these two labels would meet in the front corner
    axes.yaxis.set_major_locator(MaxNLocator(4, prune="lower"))
    ticks = scale.ticks(5)
    axes.set_zticks(scale.transform(ticks).compressed(), [scale.write(tick) for tick in scale.transform(ticks)])
    axes.set_xlabel(alpha.label, labelpad=-4)
    axes.set_ylabel(beta.label, labelpad=-4)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((1, 1, 1, 0))
        axis.line.set_color("0.4")
    axes.tick_params(pad=-1, labelsize=7, color="0.4")
