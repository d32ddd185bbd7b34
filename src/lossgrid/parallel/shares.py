"""The size of a share of points: guided self-scheduling, by the measured pace of each rank.

Shares shrink towards the end (Polychronopoulos & Kuck, "Guided self-scheduling", IEEE Trans. Computers C-36, 1987). Let
m be the number of points that all ranks compute while this rank computes one; with equal ranks m is their number. A
share has at most 1 / (2 m) of the remaining points, and at most about ``SHARE_SECONDS`` of work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lossgrid.parallel.mail import SECONDS_PER_RANK

SHARE_SECONDS = 0.5  # of work in a share: root can rebalance that often


class Shares:
    """The pace of every rank, and the size of the next share that follows from it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._pace: dict[int, float] = {}  # rank -> seconds per point in its last results
        self._speed = 0.0  # points per second of all ranks in _pace together

    def note(self, rank: int, seconds: Sequence[float]) -> None:
        """Record the seconds of the last points of a rank."""
        before, now = self._pace.get(rank, math.inf), max(sum(seconds) / len(seconds), 1e-9)
        self._pace[rank] = now
        self._speed += 1 / now - 1 / before

    def meanwhile(self, rank: int) -> float:
        """Return how many points all ranks compute while ``rank`` computes one, by their pace; at least one."""
        if rank not in self._pace:
            return self._size
        everybody = self._speed * self._size / len(self._pace)
        return max(1.0, self._pace[rank] * everybody)

    def size_for(self, rank: int, remaining: int) -> int:
        """Return the number of points in the next share of ``rank``, of ``remaining`` points; at least one."""
        guided = math.ceil(remaining / (2 * self.meanwhile(rank)))
        at_most = max(SHARE_SECONDS, SECONDS_PER_RANK * self._size) / self._pace.get(rank, math.inf)
        return max(1, min(guided, max(1, int(at_most))))
