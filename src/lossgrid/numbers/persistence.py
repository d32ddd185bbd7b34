"""Local minima and how pronounced they are: persistent homology in dimension 0.

A part of a sublevel set is born at a local minimum and dies at a saddle (:mod:`lossgrid.numbers.merging`). Its
persistence is the height of that saddle above its minimum: the least climb to a lower point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossgrid.numbers.definition import Definition
from lossgrid.numbers.landscape import Landscape

THRESHOLD = 0.01  # fraction of the range: minima of smaller persistence are not counted


@dataclass(frozen=True)
class Minimum:
    """A local minimum.

    Attributes:
        alpha: Its coordinate along delta.
        beta: Its coordinate along eta; None on a line.
        loss: The loss there.
        persistence: Height of its saddle above it, in the unit of the loss; of the lowest, the range of the values.
        on_border: Whether it is at the border of the grid or beside an unknown point, where the loss may fall further.
    """

    alpha: float
    beta: float | None
    loss: float
    persistence: float
    on_border: bool


def minima(land: Landscape) -> list[Minimum]:
    """Return all local minima, the most persistent first; a plateau is one.

    Points are connected with their neighbours along rows, columns and diagonals. Unknown points connect nothing: a part
    that they separate joins the others at the highest value.
    """
    tree, values = land.tree, land.values.ravel()[land.tree.point]
    top = float(np.nanmax(land.values))
    persistence = np.where(np.isinf(tree.saddle), top, tree.saddle) - values
    counted = np.flatnonzero((persistence > 0) | np.isinf(tree.saddle))  # a plateau is one
    counted = counted[np.lexsort((counted, tree.order[counted], -persistence[counted]))]
    rows, columns = np.divmod(tree.point[counted], len(land.alpha))
    found = zip(
        land.alpha[columns].tolist(),
        [None] * len(counted) if land.beta is None else land.beta[rows].tolist(),
        (values[counted] * land.unit).tolist(),
        _times(persistence[counted], land.unit).tolist(),
        _beside_unknown(land)[rows, columns].tolist(),
        strict=True,
    )
    return [Minimum(*each) for each in found]


def persistent(found: Sequence[Minimum], land: Landscape, *, threshold: float = THRESHOLD) -> list[Minimum]:
    """Return the minima whose persistence is at least ``threshold``, a fraction of max L - min L."""
    least = _times(np.array([threshold * land.range]), land.unit)[0]
    return [minimum for minimum in found if minimum.persistence >= least]


def _times(values: npt.NDArray[np.float64], unit: float) -> npt.NDArray[np.float64]:
    """Return values in the unit of the loss, infinite where they overflow float64."""
    with np.errstate(over="ignore"):
        return np.asarray(values * unit)


def _beside_unknown(land: Landscape) -> npt.NDArray[np.bool_]:
    """Return which points have an unknown or no neighbour along an axis, shape ``(n_beta, n_alpha)``, bool."""
    unknown = np.pad(~land.known, 1, constant_values=True)
    beside: npt.NDArray[np.bool_] = unknown[1:-1, :-2] | unknown[1:-1, 2:]
    return beside if land.is_line else beside | unknown[:-2, 1:-1] | unknown[2:, 1:-1]


def lasting(land: Landscape) -> list[Minimum]:
    """Return the local minima that are counted, the most persistent first."""
    return persistent(minima(land), land)


SOURCE = "Edelsbrunner, Letscher and Zomorodian 2002"
MINIMA = Definition(
    "minima", f"local minima of persistence >= {100 * THRESHOLD:g} %", lambda of: len(of.once(lasting)),
    SOURCE, units="minima",
)  # fmt: skip
MINIMA_ON_BORDER = Definition(
    "minima_on_border", "of these at the border", lambda of: sum(one.on_border for one in of.once(lasting)),
    SOURCE, units="minima",
)  # fmt: skip
