"""The basin around the centre: sharpness, width and area of level sets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.numbers.definition import Definition, Subject
from lossgrid.numbers.landscape import LONGEST, Bound, Landscape, Values
from lossgrid.numbers.level import Level
from lossgrid.numbers.middle import around_zero, bottom, profiles

Mask = npt.NDArray[np.bool_]


def sharpness(land: Landscape, radius: float) -> Bound:
    """Return the largest rise of the loss within ``radius`` of the centre.

    max of L(alpha, beta) - L(0, 0) over alpha^2 + beta^2 <= radius^2: in the plane, what Keskar et al. 2017 (metric
    2.1) take in a box and Dinh et al. 2017 (definition 2) in a ball of parameters, without their 1 + L(0, 0) below it.
    The maximum is over the points within the radius and the crossings of its circle with the lines of the grid, on
    which the loss is linear between points.

    Args:
        land: The landscape.
        radius: In lengths of delta and eta.

    Returns:
        The rise in the unit of the loss; a lower bound if the circle leaves the grid or contains an unknown value.

    Raises:
        InputError: The radius is not positive, or the value at the centre is unknown.
    """
    if not (math.isfinite(radius) and radius > 0):
        raise InputError(f"the radius must be positive, got {radius:g}")
    if radius > LONGEST:
        raise InputError(f"the radius must be at most {LONGEST:g}, got {radius:g}")
    loss = bottom(land)
    through = profiles(land)
    met = [np.array([loss]), _on_chords(land.alpha, land.rows, land.values, through[0], radius)]
    if land.beta is not None:
        met.append(_on_chords(land.beta, land.alpha, land.values.T, through[1], radius))
    all_met = np.concatenate(met)
    return Bound((float(np.nanmax(all_met)) - loss) * land.unit, is_lower=bool(np.isnan(all_met).any()))


def _on_chords(coordinates: Values, offsets: Values, values: Values, through: Values, radius: float) -> Values:
    """Return the values within the circle on the lines of the grid along one axis, and on the one through the centre.

    Args:
        coordinates: Along the lines, shape ``(n,)``.
        offsets: Distance of each line from the centre, shape ``(m,)``.
        values: On the lines, shape ``(m, n)``.
        through: On the line through the centre, shape ``(n,)``.
        radius: Of the circle.

    Returns:
        Values at points inside and at both ends of each chord, shape ``(k,)``; NaN where they are unknown.
    """
    met = np.abs(offsets) <= radius
    half = np.sqrt(radius**2 - np.append(0.0, offsets[met]) ** 2)
    lines = np.vstack([through, values[met]])
    inside = np.abs(coordinates) <= half[:, None]
    return np.concatenate([lines[inside], _along(coordinates, lines, -half), _along(coordinates, lines, half)])


def _along(coordinates: Values, lines: Values, at: Values) -> Values:
    """Return the value of each line at a coordinate of its own, linear between points, NaN outside.

    Args:
        coordinates: Rising, shape ``(n,)``.
        lines: Shape ``(m, n)``.
        at: Shape ``(m,)``.
    """
    after = np.clip(np.searchsorted(coordinates, at), 1, len(coordinates) - 1)
    before, number = after - 1, np.arange(len(lines))
    low, high = lines[number, before], lines[number, after]
    slope = (high - low) / (coordinates[after] - coordinates[before])
    between = slope * (at - coordinates[before]) + low
    found = np.select(
        [at == coordinates[after], at == coordinates[before]], [high, low], between
    )  # exact at points: no NaN from a neighbour
    return np.where((at < coordinates[0]) | (at > coordinates[-1]), np.nan, found)


def width(land: Landscape, level: Level) -> tuple[Bound, ...] | None:
    """Return the width of the level set {L <= level} along alpha, and along beta in a plane.

    The length of the piece of the axis through the centre on which the loss stays at or below the level without a
    break; its ends are where the loss, linear between points, crosses the level.

    Returns:
        In lengths of delta and eta; a lower bound if the grid ends or a value is unknown before the level is crossed.
        None if there is no such level.

    Raises:
        InputError: The value at the centre is unknown.
    """
    loss = bottom(land)
    height = level.height(loss, land.unit)
    if height is None:
        return None
    axes = zip((land.alpha, land.rows), profiles(land), strict=False)
    return tuple(_chord(coordinates, values, loss, height) for coordinates, values in axes)


def _chord(coordinates: Values, values: Values, loss: float, height: float) -> Bound:
    right, left = coordinates > 0, coordinates < 0
    ahead = _reach(coordinates[right], values[right], loss, height)
    behind = _reach(-coordinates[left][::-1], values[left][::-1], loss, height)
    return Bound(ahead.value + behind.value, is_lower=ahead.is_lower or behind.is_lower)


def _reach(distances: Values, values: Values, loss: float, height: float) -> Bound:
    """Return the distance from the centre, of value ``loss``, up to which the values stay at or below ``height``."""
    distances, values = np.append(0.0, distances), np.append(loss, values)
    beyond = np.flatnonzero(~(values <= height))
    if not beyond.size:
        return Bound(float(distances[-1]), is_lower=True)
    first = beyond[0]
    if np.isnan(values[first]):
        return Bound(float(distances[first - 1]), is_lower=True)
    fraction = (height - values[first - 1]) / (values[first] - values[first - 1])
    return Bound(float(distances[first - 1] + fraction * (distances[first] - distances[first - 1])), is_lower=False)


def area(land: Landscape, level: Level) -> Bound | None:
    """Return the area of the connected part of the level set {L <= level} that contains the centre.

    In the plane, the volume of Dinh et al. 2017 (definition 1), after Hochreiter and Schmidhuber 1997.
    Each cell of four points is split into four triangles that meet in its middle, whose value is the mean of the four,
    so that no diagonal is preferred; in each, the loss is linear, and the part below the level is cut off by a straight
    line. Cells with a point of the part count.

    Returns:
        In lengths of delta times lengths of eta; a lower bound if the part touches the border of the grid or an
        unknown value. None if there is no such level.

    Raises:
        InputError: It is a line, or the value at the centre is unknown.
    """
    if land.beta is None:
        raise InputError("a line has no area; ask for its width")
    height = level.height(bottom(land), land.unit)
    if height is None:
        return None
    inside = _component(land, height)
    touched = np.any(_corners(inside), axis=0)
    corners = np.stack(_corners(land.values))[:, touched]
    middles = ((corners[0] + corners[1]) + (corners[2] + corners[3])) / 4
    fraction = sum(
        _fraction_below(np.stack([one, two, middles]), height)
        for one, two in zip(corners, np.roll(corners, -1, axis=0), strict=True)
    )
    cells = (np.diff(land.beta)[:, None] * np.diff(land.alpha))[touched]
    edge = np.ones_like(inside)
    edge[1:-1, 1:-1] = False
    return Bound(
        float(np.nansum(cells * fraction / 4)), is_lower=bool((inside & edge).any() or np.isnan(middles).any())
    )


def _corners(values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return the values at the four corners of all cells, around a cell, each ``(n_beta - 1, n_alpha - 1)``."""
    return [values[:-1, :-1], values[:-1, 1:], values[1:, 1:], values[1:, :-1]]


def _component(land: Landscape, height: float) -> Mask:
    """Return which points are connected with the centre at or below ``height``, ``(n_beta, n_alpha)``, bool."""
    below = land.values <= height
    middle = np.zeros_like(below)
    middle[np.ix_(around_zero(land.rows, "beta"), around_zero(land.alpha, "alpha"))] = True
    part = land.tree.part(height)[land.tree.basin]
    return below & np.isin(part, part[middle & below])


def _fraction_below(triangles: Values, height: float) -> Values:
    """Return the fraction of each triangle at or below ``height``, shape ``(n,)``, NaN if a corner is unknown.

    Args:
        triangles: Values at the corners, shape ``(3, n)``.
        height: The level.
    """
    low, middle, high = np.sort(triangles, axis=0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        small = (height - low) ** 2 / ((middle - low) * (high - low))
        large = 1 - (high - height) ** 2 / ((high - low) * (high - middle))
    fraction = np.select([height >= high, height >= middle, height >= low], [np.ones_like(low), large, small], 0.0)
    return np.where(np.isnan(high), np.nan, fraction)  # NaN is sorted last


def _width(of: Subject, axis: int) -> Bound | None:
    """Return the width along alpha, 0, or beta, 1."""
    widths = width(of.land, of.asked_level)
    return None if widths is None else widths[axis]


SHARPNESS = Definition(
    "sharpness", "sharpness, radius {radius}", lambda of: sharpness(of.land, of.radius),
    source="Keskar et al. 2017; Dinh et al. 2017", units="L", is_monotone=True,
)  # fmt: skip
WIDTH = Definition(
    "width_{level}", "width {where}", lambda of: _width(of, 0), units="lengths", grids="line", per_level=True,
    is_monotone=True,
)  # fmt: skip
WIDTH_ALPHA = Definition(
    "width_alpha_{level}", "width along alpha {where}", lambda of: _width(of, 0),
    units="lengths", grids="plane", per_level=True, is_monotone=True,
)  # fmt: skip
WIDTH_BETA = Definition(
    "width_beta_{level}", "width along beta {where}", lambda of: _width(of, 1),
    units="lengths", grids="plane", per_level=True, is_monotone=True,
)  # fmt: skip
AREA = Definition(
    "area_{level}", "area {where}", lambda of: area(of.land, of.asked_level),
    source="Hochreiter and Schmidhuber 1997; Dinh et al. 2017", units="lengths squared", grids="plane", per_level=True,
    is_monotone=True,
)  # fmt: skip
