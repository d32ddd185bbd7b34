"""The deviation of a surface from convexity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossgrid.numbers.definition import SHARE, Definition
from lossgrid.numbers.landscape import Landscape, Values
from lossgrid.surface.grid import equally_spaced

Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Deviation:
    """A distance from convexity as a fraction of the range of the values.

    Attributes:
        mean: Mean over the points with a value.
        largest: Maximum over these points.
    """

    mean: float
    largest: float


def convexity(land: Landscape) -> Deviation:
    """Return the distance of the surface from its convex envelope, along the lines of the grid.

    For each row and column, and each diagonal where both axes are equally spaced so that diagonals are straight, the
    values above their convex envelope, the lower hull of the points (alpha_i, L_i). A point counts with the largest of
    its lines. A function is convex if and only if it is so along all lines, so that a convex surface has exactly 0; a
    plane has more lines than these, so that the envelope of the plane itself may be further below.

    Returns:
        Fractions of max L - min L, 0..1; unknown values are ignored.
    """
    values = land.values.ravel()
    above = np.zeros_like(values)
    for indices, line, coordinates in _lines(land):
        finite = np.isfinite(values[indices])
        here = indices[finite]
        above[here] = np.maximum(above[here], values[here] - _hulls(line[finite], coordinates[finite], values[here]))
    finite = np.isfinite(values)
    span = land.range
    return Deviation(float(above[finite].mean()) / span, float(above.max()) / span) if span else Deviation(0.0, 0.0)


def _lines(land: Landscape) -> Iterator[tuple[Numbers, Numbers, Values]]:
    """Yield all points line by line, for each direction of lines: their indices, their lines, their coordinates."""
    row, column = np.divmod(np.arange(land.values.size), len(land.alpha))
    yield np.arange(land.values.size), row, land.alpha[column]
    if land.beta is None:
        return
    directions = [(column, land.beta[row])]
    if equally_spaced(land.alpha) is not None and equally_spaced(land.beta) is not None:
        directions += [(column - row, row.astype(np.float64)), (column + row, row.astype(np.float64))]
    for line, coordinates in directions:
        indices = np.argsort(line, kind="stable")
        yield indices, line[indices], coordinates[indices]


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
    return _hulls(np.zeros(len(x), dtype=np.intp), x, y)


def _hulls(line: Numbers, x: Values, y: Values) -> Values:
    """Return the lower hull of each of several lines, one after the other; see :func:`lower_hull`.

    Args:
        line: The number of the line each point lies on, shape ``(n,)``; points of a line follow each other.
        x: Rising along a line.
        y: Shape ``(n,)``.
    """
    hull: list[int] = []
    first = 0  # start of the hull of this line
    a, b = x.tolist(), y.tolist()
    begins = np.append(True, line[1:] != line[:-1]).tolist()
    for i in range(len(a)):
        if begins[i]:
            first = len(hull) + 1
        # Remove the last point of the hull if it is above the line from its predecessor to the new point.
        while len(hull) > first:
            j, k = hull[-2], hull[-1]
            if (b[k] - b[j]) * (a[i] - a[j]) <= (b[i] - b[j]) * (a[k] - a[j]):
                break
            hull.pop()
        hull.append(i)
    corners, points = np.array(hull), np.arange(len(a))
    left = corners[np.searchsorted(corners, points, side="right") - 1]
    right = corners[np.searchsorted(corners, points)]
    length = np.where(left == right, 1.0, x[right] - x[left])
    return np.asarray(np.minimum(y, (y[right] - y[left]) / length * (x - x[left]) + y[left]))


SOURCE = "Boyd and Vandenberghe 2004"
CONVEXITY_MEAN = Definition(
    "convexity_mean", "deviation from convexity, mean", lambda of: of.once(convexity).mean, SOURCE, SHARE
)
CONVEXITY_LARGEST = Definition(
    "convexity_largest", "deviation from convexity, largest", lambda of: of.once(convexity).largest, SOURCE, SHARE
)
