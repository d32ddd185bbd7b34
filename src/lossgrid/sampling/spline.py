"""A smooth surface through scattered points of a grid: polyharmonic splines of the points nearby.

The spline of r^3 with linear polynomials is the smoothest surface through its points in a sense of Duchon ("Splines
minimizing rotation-invariant semi-norms in Sobolev spaces", 1977). It uses points in all directions, where the
prediction of a lattice uses those of a row and a column.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lossgrid.sampling.hierarchy import Mask
from lossgrid.sampling.nested import Array, Indices

NEAREST = 32  # points of a spline; more cost much and change little
AT_ONCE = 64  # points of a tile, about: they share the search for the nearest, and their systems fit into a cache
ROUNDING = 1e-9  # of distances, far above that of float64
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
    if len(rows) < 1 + (len(alpha) > 1) + (len(beta) > 1):  # not enough for a plane
        found[:, wanted] = np.nan
        return found
    y, x = _of_range(beta), _of_range(alpha)
    places, there = np.stack([x[columns], y[rows]]), values[:, rows, columns]
    for row, column in _tiles(wanted):
        at = np.stack([x[column], y[row]])
        nearest = _nearest(places, at)
        weights = _weights(places[:, nearest] - at[:, :, np.newaxis])
        found[:, row, column] = (there[:, nearest] * weights).sum(axis=2)
    return found


def _of_range(axis: Array) -> Array:
    """Return coordinates from 0 to 1: lattices have equal steps along both axes of them."""
    return np.asarray((axis - axis[0]) / (axis[-1] - axis[0])) if len(axis) > 1 else np.zeros(1)


def _tiles(wanted: Mask) -> Iterator[tuple[Indices, Indices]]:
    """Yield rows and columns of the wanted points, those of a square tile together."""
    rows, columns = np.nonzero(wanted)
    side = max(1, int(np.sqrt(AT_ONCE * wanted.size / max(1, len(rows)))))
    tile = rows // side * wanted.shape[1] + columns // side
    order = np.argsort(tile, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(tile[order])) + 1):
        if len(part):
            yield rows[part], columns[part]


def _nearest(places: Array, at: Array) -> Indices:
    """Return which of ``places``, ``(2, n)``, are nearest to each point of ``at``, ``(2, m)``, in rising order.

    Of places that are equally far the first are taken: a sort that is not stable takes others on another processor.

    Returns:
        Shape ``(m, NEAREST)``, or as many as there are.
    """
    count = min(NEAREST, places.shape[1])
    # All are within twice the radius of the tile plus the distance in which its centre has enough.
    centre = (at.min(axis=1, keepdims=True) + at.max(axis=1, keepdims=True)) / 2
    radius = np.sqrt(_squares(at - centre).max())
    distance = np.sqrt(_squares(places - centre))
    reach = (np.partition(distance, count - 1)[count - 1] + 2 * radius) * (1 + ROUNDING)
    near = np.flatnonzero(distance <= reach)
    squares = _squares(at[:, :, np.newaxis] - places[:, np.newaxis, near])
    return np.asarray(near[np.sort(np.argsort(squares, axis=1, kind="stable")[:, :count], axis=1)])


def _weights(around: Array) -> Array:
    """Return the weights of values in a spline at 0, for each of ``m`` sets of places, ``(2, m, n)``.

    Returns:
        Shape ``(m, n)``.
    """
    _, many, count = around.shape
    # In units of the largest distance all numbers are about 1.
    around = around / np.sqrt(_squares(around).max(axis=1, keepdims=True))
    size = count + 3
    system = np.zeros((many, size, size))
    system[:, :count, :count] = _cubes(around[:, :, :, np.newaxis] - around[:, :, np.newaxis])
    system[:, :count, count] = system[:, count, :count] = 1.0
    system[:, :count, count + 1 :] = np.moveaxis(around, 0, 2)
    system[:, count + 1 :, :count] = np.moveaxis(around, 0, 1)
    system[:, range(count, size), range(count, size)] = -STIFFNESS
    # The spline at 0 is a sum of the values, whose weights solve the same symmetric system.
    right = np.zeros((many, size, 1))
    right[:, :count, 0] = _cubes(around)
    right[:, count, 0] = 1.0
    return np.asarray(np.linalg.solve(system, right)[:, :count, 0])


def _squares(vectors: Array) -> Array:
    """Return the squared lengths of vectors, ``(2, ...)``."""
    return np.asarray(vectors[0] ** 2 + vectors[1] ** 2)


def _cubes(vectors: Array) -> Array:
    """Return the cubed lengths of vectors, ``(2, ...)``: by products and roots, which are faster than powers."""
    squares = _squares(vectors)
    return np.asarray(squares * np.sqrt(squares))
