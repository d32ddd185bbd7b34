"""Nested index sets of an axis: the ends, then the middles of all gaps, again and again, until all indices are there.

Values at the new indices of a set are predicted from the set before by interpolation: of the third degree through the
four nearest coordinates, which need not be equally spaced. A middle of four equidistant coordinates has the weights
-1/16, 9/16, 9/16, -1/16 (Deslauriers & Dubuc, "Symmetric iterative interpolation processes", 1989).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

NEAREST = 4  # coordinates that a prediction uses

Indices = npt.NDArray[np.intp]
Array = npt.NDArray[np.float64]


def index_sets(count: int, gaps: int) -> list[Indices]:
    """Return nested index sets of an axis: its ends, then the middles of all gaps, until all are there.

    The coarsest set returned has ``gaps`` gaps, a power of two, or fewer; the last one has all indices. A middle is
    rounded down, so an axis with an odd number of points has its centre in every set but that of one gap.

    >>> [indices.tolist() for indices in index_sets(7, 2)]
    [[0, 3, 6], [0, 1, 3, 4, 6], [0, 1, 2, 3, 4, 5, 6]]
    """
    sets = [np.unique([0, count - 1])]
    while len(sets[-1]) < count:
        before = sets[-1]
        sets.append(np.union1d(before, (before[:-1] + before[1:]) // 2))
        if len(sets[-2]) - 1 < gaps:
            del sets[-2]
    return sets


@dataclass(frozen=True)
class Halving:
    """The step from an index set of an axis to the next finer one.

    Attributes:
        coarse: Indices of the coarser set, rising.
        fine: Indices of the finer set, rising; it contains the coarser one.
        coordinates: All coordinates of the axis, float64.
    """

    coarse: Indices
    fine: Indices
    coordinates: Array

    @cached_property
    def kept(self) -> Indices:
        """Positions of the coarser set in the finer one."""
        return np.searchsorted(self.fine, self.coarse)

    @cached_property
    def new(self) -> Indices:
        """Positions of the new indices in the finer set."""
        return np.setdiff1d(np.arange(len(self.fine)), self.kept)

    @cached_property
    def parents(self) -> Indices:
        """For each gap of the finer set the gap of the coarser set it lies in; one gap where there is one index."""
        starts = self.fine[:-1] if len(self.fine) > 1 else self.fine
        return np.clip(np.searchsorted(self.coarse, starts, side="right") - 1, 0, max(len(self.coarse) - 2, 0))

    @cached_property
    def _stencils(self) -> tuple[Indices, Array, Indices, Array]:
        """Positions in the coarser set and weights of a prediction: of the nearest coordinates, and of both sides."""
        right = np.searchsorted(self.coarse, self.fine[self.new])
        width = min(NEAREST, len(self.coarse))
        first = np.clip(right - width // 2, 0, len(self.coarse) - width)
        near = first[:, np.newaxis] + np.arange(width)
        sides = right[:, np.newaxis] + np.array([-1, 0])
        x = self.coordinates[self.fine[self.new]]
        return near, self._weights(x, near), sides, self._weights(x, sides)

    def _weights(self, x: Array, positions: Indices) -> Array:
        """Return the weights of Lagrange's polynomial at ``x`` through the coordinates at ``positions``."""
        nodes = self.coordinates[self.coarse[positions]]
        weights = np.ones(nodes.shape)
        for one in range(nodes.shape[1]):
            for other in range(nodes.shape[1]):
                if one != other:
                    weights[:, one] *= (x - nodes[:, other]) / (nodes[:, one] - nodes[:, other])
        return weights

    def predict(self, values: Array) -> Array:
        """Return values on the finer set: those of the coarser one, and predictions between them.

        Where a nearest value is not finite, only those on both sides are used.

        Args:
            values: The values on the coarser set, along the last axis, float64.
        """
        near, weights, sides, shares = self._stencils
        smooth, straight = values[..., near] * weights, values[..., sides] * shares
        found = np.empty((*values.shape[:-1], len(self.fine)))
        found[..., self.kept] = values
        with np.errstate(invalid="ignore"):
            smooth, straight = smooth.sum(axis=-1), straight.sum(axis=-1)
        found[..., self.new] = np.where(np.isfinite(smooth), smooth, straight)
        return found

    def largest_near(self, values: Array) -> Array:
        """Return values on the finer set: those of the coarser one, and between them the larger of both sides."""
        _, _, sides, _ = self._stencils
        found = np.empty((*values.shape[:-1], len(self.fine)))
        found[..., self.kept] = values
        found[..., self.new] = values[..., sides].max(axis=-1)
        return found


def halvings(coordinates: Sequence[float] | Array, gaps: int) -> tuple[Indices, list[Halving]]:
    """Return the coarsest index set of an axis, and the steps from each set to the next."""
    axis = np.asarray(coordinates, dtype=np.float64)
    sets = index_sets(len(axis), gaps)
    return sets[0], [Halving(coarse, fine, axis) for coarse, fine in pairwise(sets)]
