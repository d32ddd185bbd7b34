"""Values between the points of a plane, for drawing only: smooth contours and reliefs through every stored value.

Along each axis the interpolation is that of Akima ("A new method of interpolation and smooth curve fitting based on
local procedures", J. ACM 17, 1970) with the weights of MATLAB's ``makima``. It is cubic, and has no waves beside steps
and plateaus. Positive values that vary by factors are interpolated by their logarithms. No value is outside of the
range of the sixteen points around it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
AROUND = 4  # points along each axis, in the range of which a value lies
ENOUGH, MOST_PARTS = 400, 16  # points along an axis that look smooth; parts of an interval
SHORTEST = 1e-12  # interval, as a fraction of the axis


def parts_of(shape: tuple[int, ...], enough: int = ENOUGH) -> int:
    """Return into how many parts intervals are divided for ``enough`` points along an axis; 1 for none."""
    return int(np.clip(-(-enough // max(shape)), 1, MOST_PARTS))


def denser(coordinates: Values, parts: int) -> Values:
    """Return ``coordinates``, ``(n,)``, with each interval in ``parts``: shape ``((n - 1) * parts + 1,)``, float64."""
    shares = np.arange(parts) / parts
    between = coordinates[:-1, np.newaxis] * (1 - shares) + coordinates[1:, np.newaxis] * shares
    return np.append(between.ravel(), coordinates[-1])


def through(alpha: Values, beta: Values, values: Values, parts: int, *, by_factors: bool) -> Values:
    """Return values at and between the points of a plane.

    Args:
        alpha: Rising coordinates, shape ``(n_alpha,)``, float64.
        beta: Likewise, shape ``(n_beta,)``.
        values: Shape ``(n_beta, n_alpha)``, float64.
        parts: Parts of each interval of the axes.
        by_factors: Whether values vary by factors, as losses do; then their logarithms are interpolated, if all are
            positive.

    Returns:
        Shape ``((n_beta - 1) * parts + 1, (n_alpha - 1) * parts + 1)``, float64: the values themselves at the points,
        NaN beside points that are not finite. Of a cell with one such corner, the triangle of the others has values.
    """
    finite = np.where(np.isfinite(values), values, np.nan)
    is_log = by_factors and not (finite <= 0).any()
    largest = np.nanmax(np.abs(finite), initial=0.0) or 1.0
    heights = np.log(finite) if is_log else finite / largest  # differences of float64 may overflow
    rows_first = _along(beta, _along(alpha, heights.T, parts).T, parts)
    columns_first = _along(alpha, _along(beta, heights, parts).T, parts).T
    found = (rows_first + columns_first) / 2  # no axis comes first
    found = np.where(np.isnan(found), _triangles(heights, parts), found)
    low, high = (_of_cells(extreme, parts) for extreme in _range(heights))
    found = np.clip(found, low, high)
    between: Values = np.exp(found) if is_log else found * largest
    between[::parts, ::parts] = finite
    return between


def _along(coordinates: Values, values: Values, parts: int) -> Values:
    """Interpolate along the first axis of ``values``, which has ``coordinates``; intervals of NaN are NaN."""
    steps = np.maximum(np.diff(coordinates / np.ptp(coordinates)), SHORTEST)[:, np.newaxis]
    rises = np.diff(values, axis=0) / steps
    slopes = _slopes(rises)
    share = (np.arange(parts) / parts)[:, np.newaxis]
    start, end = values[:-1, np.newaxis], values[1:, np.newaxis]
    at_start, at_end = (slopes[:-1] - rises)[:, np.newaxis], (slopes[1:] - rises)[:, np.newaxis]
    bend = steps[:, np.newaxis] * (at_start * (1 - share) - at_end * share)
    inside = start * (1 - share) + end * share + share * (1 - share) * bend
    inside[:, 0] = values[:-1]
    return np.concatenate([inside.reshape(-1, values.shape[1]), values[-1:]])


def _slopes(rises: Values) -> Values:
    """Return the slope at each point from the rises of the intervals, shape ``(n - 1, m)``, two on either side.

    Rises beyond an end or a gap go on in a straight line.
    """
    gap = np.full((2, rises.shape[1]), np.nan)
    padded = np.concatenate([gap, rises, gap])
    before, left, right, after = (padded[i : len(padded) - 3 + i] for i in range(4))
    left, right = _or(left, _or(2 * right - after, right)), _or(right, _or(2 * left - before, left))
    before, after = _or(before, 2 * left - right), _or(after, 2 * right - left)
    of_left = np.abs(after - right) + np.abs(after + right) / 2
    of_right = np.abs(left - before) + np.abs(left + before) / 2
    total = of_left + of_right
    return np.asarray((of_left * left + of_right * right) / np.where(total == 0, 1.0, total))


def _or(values: Values, other: Values) -> Values:
    return np.where(np.isnan(values), other, values)


def _triangles(heights: Values, parts: int) -> Values:
    """Return planes through the three known corners of cells that lack one, over their triangles; NaN elsewhere."""
    found = np.full([(n - 1) * parts + 1 for n in heights.shape], np.nan)
    known = ~np.isnan(heights)
    corners = [(0, 0), (0, 1), (1, 0), (1, 1)]
    known_of = sum(known[i : i + len(known) - 1, j : j + known.shape[1] - 1].astype(int) for i, j in corners)
    for row, column in np.argwhere(known_of == 3):
        cell = heights[row : row + 2, column : column + 2]
        i, j = np.argwhere(np.isnan(cell))[0]
        shares = np.linspace(0, 1, parts + 1)
        x, y = np.meshgrid(shares if j else 1 - shares, shares if i else 1 - shares)  # from the corner opposite
        opposite, beside, above = cell[1 - i, 1 - j], cell[1 - i, j], cell[i, 1 - j]
        plane = opposite + (beside - opposite) * x + (above - opposite) * y
        place = np.s_[row * parts : (row + 1) * parts + 1, column * parts : (column + 1) * parts + 1]
        found[place] = np.where(x + y <= 1 + 1e-9, plane, found[place])
    return found


def _range(heights: Values) -> tuple[Values, Values]:
    """Return the lowest and the highest of the sixteen points around each cell, each ``(n_beta - 1, n_alpha - 1)``."""
    padded = np.pad(heights, AROUND // 2 - 1, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (AROUND, AROUND))
    low: Any = np.where(np.isnan(windows), np.inf, windows).min(axis=(2, 3))
    high: Any = np.where(np.isnan(windows), -np.inf, windows).max(axis=(2, 3))
    return low, high


def _of_cells(cells: Values, parts: int) -> Values:
    """Return the value of the cell of each dense point; a point on a border belongs to the cell after it."""
    rows, columns = (np.minimum(np.arange(n * parts + 1) // parts, n - 1) for n in cells.shape)
    return cells[np.ix_(rows, columns)]
