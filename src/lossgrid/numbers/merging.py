"""The merge tree of the sublevel sets {L <= c}: births of their parts at minima, and joins at saddles.

The sets grow with c. A part that touches no other is born at a local minimum, and where two parts meet, at a saddle,
the one with the higher minimum dies (the elder rule). Each point belongs to the basin of the minimum that steepest
descent leads to; a part of {L <= c} is made of basins, so that the loop joins basins over
passes, not points. Edelsbrunner, Letscher and Zomorodian 2002; Edelsbrunner and Harer 2010, chapter VII.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.intp]
Values = npt.NDArray[np.float64]
FORWARD = ((0, 1), (1, -1), (1, 0), (1, 1))  # row and column offsets of half of the neighbours: each pair once


@dataclass(frozen=True)
class MergeTree:
    """The minima, numbered from the lowest, and the joins of their parts.

    Attributes:
        basin: The minimum that steepest descent from each point leads to, shape ``(n_beta, n_alpha)``; -1 where the
            value is unknown.
        point: The point of each minimum, an index into all points row by row, shape ``(n,)``.
        elder: The lower minimum whose part each part joins, shape ``(n,)``; itself if it joins none.
        saddle: The value at the join, shape ``(n,)``, float64; infinite if it joins none.
        order: Position in the sequence of joins, shape ``(n,)``; ``n`` if it joins none.
    """

    basin: Numbers
    point: Numbers
    elder: Numbers
    saddle: Values
    order: Numbers

    def part(self, height: float) -> Numbers:
        """Return the lowest minimum of the part of {L <= height} each minimum belongs to, shape ``(n,)``."""
        return _followed(np.where(self.saddle <= height, self.elder, np.arange(len(self.elder))))


def merge_tree(values: Values) -> MergeTree:
    """Return the merge tree of ``values``, in O(n log n) for n points.

    Points are connected with their neighbours along rows, columns and diagonals. Of equal values the first, row by row,
    counts as the lower.

    Args:
        values: Shape ``(n_beta, n_alpha)``, float64, NaN where unknown.
    """
    order = np.argsort(values.ravel(), kind="stable")[: np.count_nonzero(~np.isnan(values))]
    unknown = values.size
    rank = np.full(values.size, unknown)
    rank[order] = np.arange(len(order))
    framed = np.pad(rank.reshape(values.shape), 1, constant_values=unknown)
    lowest = framed[1:-1, 1:-1].copy()
    for one in (-1, 0, 1):
        for other in (-1, 0, 1):
            np.minimum(lowest, _shifted(framed, one, other), out=lowest)
    bottom = _followed(lowest.ravel()[order])
    bottoms = np.flatnonzero(bottom == np.arange(len(order)))
    number = np.searchsorted(bottoms, bottom)  # of the minimum, by the rank of the point
    elder, saddle, joined = _join(*_passes(framed, np.append(number, -1)), len(bottoms))
    basin = np.full(values.size, -1)
    basin[order] = number
    heights = np.append(values.ravel()[order], np.inf)
    return MergeTree(basin.reshape(values.shape), order[bottoms], elder, heights[saddle], joined)


def _shifted(framed: Numbers, rows: int, columns: int) -> Numbers:
    """Return the neighbour at an offset of rows and columns, for each point within the frame."""
    height, width = framed.shape
    return framed[1 + rows : height - 1 + rows, 1 + columns : width - 1 + columns]


def _followed(to: Numbers) -> Numbers:
    """Return the ends of the chains of indices ``to``, same shape."""
    while not np.array_equal(to, further := to[to]):
        to = further
    return to


def _passes(framed: Numbers, number: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return neighbouring basins and the rank of the lowest pass between them, the lowest pass first.

    Args:
        framed: Rank of each point, in a frame of unknown points.
        number: The basin of each rank, -1 for unknown points.
    """
    here = framed[1:-1, 1:-1]
    found: list[Any] = []
    for rows, columns in FORWARD:
        there = _shifted(framed, rows, columns)
        top = np.maximum(here, there)
        basins = number[np.minimum(here, len(number) - 1)], number[np.minimum(there, len(number) - 1)]
        crossing = (basins[0] != basins[1]) & (basins[0] >= 0) & (basins[1] >= 0)
        found.append([top[crossing], *(basin[crossing] for basin in basins)])
    top, one, two = (np.concatenate(parts) for parts in zip(*found, strict=True))
    rising = np.argsort(top, kind="stable")
    pair = (np.minimum(one, two) * len(number) + np.maximum(one, two))[rising]
    kept = rising[np.sort(np.unique(pair, return_index=True)[1])]
    return one[kept], two[kept], top[kept]


def _join(one: Numbers, two: Numbers, top: Numbers, count: int) -> tuple[Numbers, Numbers, Numbers]:
    """Join ``count`` basins over their passes, the lowest pass first; return elder, rank of the saddle, and order."""
    elder, oldest = list(range(count)), list(range(count))
    saddle, order = [-1] * count, [count] * count
    joined = 0
    for a, b, height in zip(one.tolist(), two.tolist(), top.tolist(), strict=True):
        while oldest[a] != a:
            oldest[a] = a = oldest[oldest[a]]
        while oldest[b] != b:
            oldest[b] = b = oldest[oldest[b]]
        if a != b:
            older, younger = (a, b) if a < b else (b, a)
            oldest[younger] = elder[younger] = older
            saddle[younger], order[younger] = height, joined
            joined += 1
    return np.array(elder, dtype=np.intp), np.array(saddle, dtype=np.intp), np.array(order, dtype=np.intp)
