"""A smooth surface through scattered points of a grid: polyharmonic splines of the points nearby.

The spline of r^3 with linear polynomials is the smoothest surface through its points in a sense of Duchon ("Splines
minimizing rotation-invariant semi-norms in Sobolev spaces", 1977). It uses points in all directions, where the
prediction of a lattice uses those of a row and a column.
"""

from __future__ import annotations

import numpy as np

from lossgrid.sampling.hierarchy import Mask
from lossgrid.sampling.nested import Array

NEAREST = 32  # points of a spline; more cost much and change little
AT_ONCE, MOST = 500, 4_000_000  # points, and distances to known points, of one step: they bound the memory
STIFFNESS = 1e-10  # of the polynomial: points on one line leave it open


def smooth(alpha: Array, beta: Array, values: Array, known: Mask, wanted: Mask) -> Array:
    """Return values with those of some points replaced by splines of the nearest known ones; NaN if these are too few.

    Args:
        alpha: Coordinates along delta, shape ``(n_alpha,)``, float64.
        beta: Coordinates along eta; one for a line.
        values: Shape ``(n_quantities, n_beta, n_alpha)``, float64.
        known: Where values are used, ``(n_beta, n_alpha)``, bool; those that are not finite are not used.
        wanted: Where they are replaced, likewise.
    """
    nodes = known & np.isfinite(values).all(axis=0)
    found = np.array(values)
    rows, columns = np.nonzero(nodes)
    places_wanted = np.argwhere(wanted)
    if len(rows) < 1 + (len(alpha) > 1) + (len(beta) > 1):  # not enough for a plane
        found[:, wanted] = np.nan
        return found
    axes = _of_range(beta), _of_range(alpha)
    places = np.stack([axes[0][rows], axes[1][columns]], axis=1)
    there = values[:, rows, columns]
    step = max(1, min(AT_ONCE, MOST // len(rows)))
    for start in range(0, len(places_wanted), step):
        row, column = places_wanted[start : start + step].T
        at = np.stack([axes[0][row], axes[1][column]], axis=1)
        found[:, row, column] = _splines(places, there, at)
    return found


def _of_range(axis: Array) -> Array:
    """Return coordinates from 0 to 1: lattices have equal steps along both axes of them."""
    return np.asarray((axis - axis[0]) / (axis[-1] - axis[0])) if len(axis) > 1 else np.zeros(1)


def _splines(places: Array, values: Array, at: Array) -> Array:
    """Return a spline at each point of ``at``, ``(m, 2)``, of the nearest of ``places``, ``(n, 2)``.

    Returns:
        Shape ``(n_quantities, m)``.
    """
    count = min(NEAREST, len(places))
    squares = ((at[:, np.newaxis] - places) ** 2).sum(axis=2)
    nearest = np.sort(np.argpartition(squares, count - 1, axis=1)[:, :count], axis=1)
    # Around the point, and in units of the largest distance, all numbers are about 1.
    around = places[nearest] - at[:, np.newaxis]
    around /= np.sqrt((around**2).sum(axis=2).max(axis=1))[:, np.newaxis, np.newaxis]
    between = np.sqrt(((around[:, :, np.newaxis] - around[:, np.newaxis]) ** 2).sum(axis=3)) ** 3
    size = count + 3
    system = np.zeros((len(at), size, size))
    system[:, :count, :count] = between
    system[:, :count, count] = system[:, count, :count] = 1.0
    system[:, :count, count + 1 :] = around
    system[:, count + 1 :, :count] = around.swapaxes(1, 2)
    system[:, range(count, size), range(count, size)] = -STIFFNESS
    # The spline at 0 is a sum of the values, whose weights solve the same symmetric system.
    right = np.zeros((len(at), size, 1))
    right[:, :count, 0] = np.sqrt((around**2).sum(axis=2)) ** 3
    right[:, count, 0] = 1.0
    weights = np.linalg.solve(system, right)[:, :count, 0]
    return np.asarray((values[:, nearest] * weights).sum(axis=2))
