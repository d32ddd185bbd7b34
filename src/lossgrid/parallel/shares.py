"""How large a share of the points is: guided self-scheduling, by the pace each rank has shown.

Shares shrink towards the end (Polychronopoulos & Kuck, "Guided self-scheduling", IEEE Trans. Computers C-36, 1987): a
share is at most half of what is left, divided by the points all ranks do while this one does one (with equal ranks,
their number), and never more than about ``SHARE_SECONDS`` of work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lossgrid.parallel.mail import SECONDS_PER_RANK

SHARE_SECONDS = 0.5


class Shares:
    """The pace of every rank, and what follows from it for the next share."""

    def __init__(self, size: int) -> None:
        """Begin with ``size`` ranks that have shown nothing yet."""
        self._size = size
        self._pace: dict[int, float] = {}  # rank -> seconds per point of its last results
        self._speed = 0.0  # points per second, of the ranks in _pace together

    def note(self, rank: int, seconds: Sequence[float]) -> None:
        """Take note of what the last points of a rank took, in seconds."""
        before, now = self._pace.get(rank, math.inf), max(sum(seconds) / len(seconds), 1e-9)
        self._pace[rank] = now
        self._speed += 1 / now - 1 / before

    def meanwhile(self, rank: int) -> float:
        """Return how many points all ranks do while ``rank`` does one, by the pace they have shown; at least one."""
        if rank not in self._pace:
            return self._size
        everybody = self._speed * self._size / len(self._pace)
        return max(1.0, self._pace[rank] * everybody)

    def size_for(self, rank: int, remaining: int) -> int:
        """Return how many of the ``remaining`` points the next share of ``rank`` has; at least one."""
        guided = math.ceil(remaining / (2 * self.meanwhile(rank)))
        at_most = max(SHARE_SECONDS, SECONDS_PER_RANK * self._size) / self._pace.get(rank, math.inf)
        return max(1, min(guided, max(1, int(at_most))))
