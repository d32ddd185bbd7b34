"""How far a surface is from being convex."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossgrid.grid import equally_spaced
from lossgrid.metrics.landscape import Landscape, Values


@dataclass(frozen=True)
class Deviation:
    """A distance from convexity as a share of the range of the values.

    Attributes:
        mean: Mean over the known points.
        largest: At the point where it is largest.
    """

    mean: float
    largest: float


def convexity(land: Landscape) -> Deviation:
    """Return how far the surface is above the largest convex function below it, along the lines of the grid.

    For each row and column, and each diagonal where both axes are equally spaced so that diagonals are straight, the
    values above their convex envelope, the lower hull of the points (alpha_i, L_i). A point counts with the largest of
    its lines. A function is convex if and only if it is so along all lines, so that a convex surface has exactly 0; a
    plane has more lines than these, so that the envelope of the plane itself may be further below.

    Returns:
        Shares of max L - min L, 0..1; unknown points are passed over.
    """
    values = land.values.ravel()
    above = np.zeros_like(values)
    for coordinates, places in _lines(land):
        known = np.isfinite(values[places])
        x, here = coordinates[known], places[known]
        if len(here) > 2:
            above[here] = np.maximum(above[here], values[here] - lower_hull(x, values[here]))
    known = np.isfinite(values)
    span = land.range
    return Deviation(float(above[known].mean()) / span, float(above.max()) / span) if span else Deviation(0.0, 0.0)


def _lines(land: Landscape) -> Iterator[tuple[Values, npt.NDArray[np.intp]]]:
    """Yield for each straight line of the grid the coordinates along it and which points lie on it."""
    places = np.arange(land.values.size).reshape(land.values.shape)
    for row in places:
        yield land.alpha, row
    if land.beta is None:
        return
    for column in places.T:
        yield land.beta, column
    if equally_spaced(land.alpha) is None or equally_spaced(land.beta) is None:
        return
    for rising in (places, places[::-1]):
        for offset in range(1 - len(land.beta), len(land.alpha)):
            diagonal = rising.diagonal(offset)
            yield np.arange(len(diagonal), dtype=np.float64), diagonal


def lower_hull(x: Values, y: Values) -> Values:
    """Return the largest convex function below the points, at the points.

    Args:
        x: Rising, shape ``(n,)``, float64.
        y: Shape ``(n,)``, float64.

    Returns:
        Shape ``(n,)``, float64, nowhere above ``y``.

    Example:
        >>> lower_hull(np.arange(4.0), np.array([0.0, 2.0, 1.0, 3.0]))
        array([0. , 0.5, 1. , 3. ])
    """
    hull: list[int] = []
    a, b = x.tolist(), y.tolist()
    for i in range(len(a)):
        # The last of the hull goes where it is above the line from the one before it to the new point.
        while len(hull) > 1:
            j, k = hull[-2], hull[-1]
            if (b[k] - b[j]) * (a[i] - a[j]) <= (b[i] - b[j]) * (a[k] - a[j]):
                break
            hull.pop()
        hull.append(i)
    return np.minimum(y, np.interp(x, x[hull], y[hull]))
