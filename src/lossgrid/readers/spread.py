"""The choice of samples that represent a split when only some are used."""

from __future__ import annotations

import itertools

GOLDEN = 0.6180339887498949  # (sqrt(5) - 1) / 2: the fractional parts of its multiples fill 0..1 evenly, aperiodically


def spread(total: int, count: int) -> list[int]:
    """Return ``count`` rising indices below ``total``, one in each of ``count`` parts of about the same size.

    The first samples of sorted data are all of one class. Every k-th sample of data with alternating classes may be of
    two classes only. Therefore the position of a sample in its part is the fractional part of a multiple of ``GOLDEN``.

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
