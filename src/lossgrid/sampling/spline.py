"""A smooth surface through scattered points of a grid, and how far it may be off: local polyharmonic splines.

The spline of r^3 with linear polynomials is the smoothest surface through its points in a sense of Duchon ("Splines
minimizing rotation-invariant semi-norms in Sobolev spaces", 1977). It is also the best linear prediction of a random
function with the generalised covariance r^3 (Matheron, "The intrinsic random functions and their applications", 1973),
whose standard error is the power function times a scale. What each node is off, predicted from the others, tells the
scale (Dubrule, "Cross validation of kriging in a unique neighborhood", 1983).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

NEAREST = 20  # nodes of a spline; more cost much and change little
LEAST = 6  # nodes: with fewer, leaving one out leaves no more than a plane
AT_ONCE = 500  # points of one step: it bounds the memory
STIFFNESS = 1e-10  # of the polynomial: nodes on one line leave it open
ROUND_OFF = 1e-12  # of the square of the power function, where the farthest node is at 1


@dataclass(frozen=True)
class Prediction:
    """What splines through nodes nearby say of points.

    Attributes:
        values: Shape ``(n_quantities, m)``, float64.
        power: The standard error of a random function of scale 1, shape ``(m,)``, float64.
        near: The nodes, nearest first, shape ``(m, NEAREST)`` or fewer.
        distance: How far the nearest node is, shape ``(m,)``, float64.
    """

    values: Array
    power: Array
    near: Indices
    distance: Array


@dataclass(frozen=True)
class Nodes:
    """Points whose values are known.

    Attributes:
        places: Coordinates in the range of the grid, shape ``(n, 2)``, float64, from 0 to 1.
        values: Shape ``(n_quantities, n)``, float64, finite.
        tree: Finds the nodes near a point.
    """

    places: Array
    values: Array
    tree: Any

    @classmethod
    def of(cls, places: Array, values: Array) -> Nodes:
        """Return nodes in these places."""
        return cls(places, values, tree_of(places))

    def predict(self, at: Array) -> Prediction:
        """Return the prediction at the points ``at``, shape ``(m, 2)``."""
        return self._predict(at, 0)

    def left_out(self) -> Prediction:
        """Return the prediction of each node from the others."""
        return self._predict(self.places, 1)

    def _predict(self, at: Array, first: int) -> Prediction:
        """Return the prediction from the nearest nodes but for the ``first`` ones."""
        parts = [self._part(at[start : start + AT_ONCE], first) for start in range(0, len(at), AT_ONCE)]
        return Prediction(
            np.concatenate([part.values for part in parts], axis=1),
            np.concatenate([part.power for part in parts]),
            np.concatenate([part.near for part in parts]),
            np.concatenate([part.distance for part in parts]),
        )

    def _part(self, at: Array, first: int) -> Prediction:
        distance, near = self.tree.query(at, min(NEAREST + first, len(self.places)))
        distance, near = distance[:, first:], near[:, first:]
        weights, power = _splines(self.places[near] - at[:, np.newaxis], distance[:, -1])
        # Differences from the nearest value: where all are equal, so is the prediction, to the bit.
        nearest = self.values[:, near[:, 0]]
        there = nearest + ((self.values[:, near] - nearest[..., np.newaxis]) * weights).sum(axis=2)
        return Prediction(there, power, near, distance[:, 0])


def tree_of(places: Array) -> Any:
    """Return a tree that finds the places near a point."""
    from scipy.spatial import KDTree  # late: only rank 0 of a run with a tolerance needs it

    return KDTree(places)


def _splines(around: Array, radius: Array) -> tuple[Array, Array]:
    """Return the weights of nodes in splines at 0, and the power function there.

    Args:
        around: Places of the nodes of each spline, shape ``(m, n, 2)``, float64.
        radius: The largest distance of them, shape ``(m,)``.

    Returns:
        Shapes ``(m, n)`` and ``(m,)``.
    """
    count, size = around.shape[1], around.shape[1] + 3
    x, y = np.moveaxis(around / radius[:, np.newaxis, np.newaxis], 2, 0)  # all numbers are about 1
    system = np.zeros((len(around), size, size))
    system[:, :count, :count] = _cubes(x[:, :, np.newaxis] - x[:, np.newaxis], y[:, :, np.newaxis] - y[:, np.newaxis])
    polynomials = np.stack([np.ones(x.shape), x, y], axis=2)
    system[:, :count, count:] = polynomials
    system[:, count:, :count] = polynomials.swapaxes(1, 2)
    system[:, range(count, size), range(count, size)] = -STIFFNESS
    # The spline at 0 is a sum of the values, whose weights solve the same symmetric system.
    right = np.zeros((len(around), size, 1))
    right[:, :count, 0] = _cubes(x, y)
    right[:, count, 0] = 1.0
    found = np.linalg.solve(system, right)
    square = -(found * right).sum(axis=(1, 2))
    return found[:, :count, 0], np.sqrt(np.maximum(square, ROUND_OFF) * radius**3)


def _cubes(x: Array, y: Array) -> Array:
    squares = x * x + y * y
    return np.asarray(squares * np.sqrt(squares))
