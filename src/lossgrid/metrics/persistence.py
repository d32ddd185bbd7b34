"""Local minima and how pronounced they are: persistent homology in dimension 0.

The sublevel sets {L <= c} grow with c. A part that touches no other is born at a local minimum, and where two parts
meet, at a saddle, the one with the higher minimum dies (the elder rule). Its persistence is the height of that saddle
above its minimum: what must be climbed at least to get away to something lower. Edelsbrunner, Letscher and Zomorodian
2002; Edelsbrunner and Harer 2010, chapter VII.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossgrid.metrics.landscape import Landscape

THRESHOLD = 0.01  # share of the range from which on a minimum is counted


@dataclass(frozen=True)
class Minimum:
    """A local minimum.

    Attributes:
        alpha: Where it is along delta.
        beta: Where it is along eta; None on a line.
        loss: How deep it is.
        persistence: Height of the lowest way out above it, in the unit of the loss; for the lowest minimum of all, from
            which no way leads further down, the range of the values.
        on_border: Whether it is at the border of the grid, or beside an unknown point, beyond which it may go on down.
    """

    alpha: float
    beta: float | None
    loss: float
    persistence: float
    on_border: bool


def minima(land: Landscape) -> list[Minimum]:
    """Return all local minima, the most persistent first; a plateau is one.

    Points are connected with their neighbours along rows, columns and diagonals. What is unknown is no way: a part that
    is cut off by it counts as if it met the rest at the highest value.
    """
    framed = np.pad(land.values, 1, constant_values=np.nan)
    heights, width = framed.ravel(), framed.shape[1]
    neighbours = (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1)
    order = np.argsort(heights, kind="stable")[: np.count_nonzero(land.known)].tolist()
    age = {point: number for number, point in enumerate(order)}
    parent: dict[int, int] = {}
    persistence: dict[int, float] = {}
    for point in order:
        parent[point] = point
        for neighbour in neighbours:
            if point + neighbour in parent:
                one, two = _oldest(parent, point), _oldest(parent, point + neighbour)
                if one != two:
                    younger, older = (one, two) if age[one] > age[two] else (two, one)
                    parent[younger] = older
                    if heights[point] > heights[younger]:
                        persistence[younger] = float(heights[point] - heights[younger])
    never_died = [point for point in order if parent[point] == point]
    persistence |= {point: float(heights[order[-1]] - heights[point]) for point in never_died}
    open_sided = _beside_unknown(land)
    found = []
    for point, height in persistence.items():
        row, column = point // width - 1, point % width - 1
        found.append(
            Minimum(
                alpha=float(land.alpha[column]),
                beta=None if land.beta is None else float(land.beta[row]),
                loss=float(land.values[row, column]),
                persistence=height,
                on_border=bool(open_sided[row, column]),
            )
        )
    return sorted(found, key=lambda minimum: -minimum.persistence)


def persistent(found: Sequence[Minimum], land: Landscape, *, threshold: float = THRESHOLD) -> list[Minimum]:
    """Return those of ``found`` whose persistence is at least ``threshold``, a share of max L - min L."""
    return [minimum for minimum in found if minimum.persistence >= threshold * land.range]


def _oldest(parent: dict[int, int], point: int) -> int:
    """Return the minimum at which the part of ``point`` was born, and shorten the way there."""
    while parent[point] != point:
        parent[point] = parent[parent[point]]
        point = parent[point]
    return point


def _beside_unknown(land: Landscape) -> npt.NDArray[np.bool_]:
    """Tell which points have a neighbour along an axis that is unknown or outside, shape ``(n_beta, n_alpha)``."""
    unknown = np.pad(~land.known, 1, constant_values=True)
    beside: npt.NDArray[np.bool_] = unknown[1:-1, :-2] | unknown[1:-1, 2:]
    return beside if land.is_line else beside | unknown[:-2, 1:-1] | unknown[2:, 1:-1]
