"""The plan that computes every point of a grid, coarse to fine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from lossgrid.surface import Grid, Results, Work
from lossgrid.surface.lattice import origin_of, works


class Everything:
    """Every pending point: the trained network first, then the nested lattices, the coarsest first."""

    def __init__(self, queue: Iterable[Work]) -> None:
        self._queue = deque(queue)
        self._remaining = sum(map(len, self._queue))

    @classmethod
    def of(cls, pending: npt.NDArray[np.bool_], grid: Grid) -> Everything:
        """Return the plan for the points of ``grid`` that are True in ``pending``, shape ``(n_beta, n_alpha)``."""
        centre = grid.centre
        if centre is None or not pending[centre]:
            return cls(works(pending, origin_of(grid)))
        rest = pending.copy()
        rest[centre] = False
        row, column = centre
        return cls([Work(row, column, column + 1), *works(rest, centre)])

    @property
    def remaining(self) -> int:
        """Number of points that have not been handed out."""
        return self._remaining

    @property
    def is_over(self) -> bool:
        """Whether all points have been handed out."""
        return not self._queue

    def ask(self, at_most: int) -> Work | None:
        """Hand out up to ``at_most`` points; return None if there are no more."""
        if not self._queue:
            return None
        first, rest = self._queue.popleft().split(at_most)
        if len(rest):
            self._queue.appendleft(rest)
        self._remaining -= len(first)
        return first

    def tell(self, results: Results) -> None:
        """Ignore results: this order does not depend on them."""
