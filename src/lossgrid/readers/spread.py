"""Which samples stand for a split where not all are taken."""

from __future__ import annotations

import itertools

GOLDEN = 0.6180339887498949  # (sqrt(5) - 1) / 2: its multiples fill 0..1 evenly and follow no period


def spread(total: int, count: int) -> list[int]:
    """Return ``count`` rising indices below ``total``, one in each of ``count`` parts of about the same size.

    The first samples of data sorted by class are of one class. Every k-th of data whose classes take turns may be of
    two. Where in its part a sample lies is therefore a multiple of the golden ratio, without its whole part.

    >>> spread(12, 4)
    [1, 3, 8, 10]
    >>> sorted({index % 10 for index in spread(50_000, 2_000)}) == list(range(10))
    True
    >>> spread(3, 5)
    [0, 1, 2]
    """
    if count >= total:
        return list(range(total))
    edges = [part * total // count for part in range(count + 1)]
    return [
        start + int((part + 1) * GOLDEN % 1 * (end - start))
        for part, (start, end) in enumerate(itertools.pairwise(edges))
    ]
