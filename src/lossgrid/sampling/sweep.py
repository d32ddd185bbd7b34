"""A sweep over the levels of a grid: which points are wanted, and the surface that they make.

Adaptive multiresolution (Harten, "Multiresolution algorithms for the numerical solution of hyperbolic conservation
laws", 1995; Holmstrom, "Solving hyperbolic PDEs using interpolating wavelets", 1999) on the points of the grid: each
level is predicted from the coarser one. Where predictions of computed points are far off, the cells around are refined.
All other points are defined by the prediction.

A sweep depends on the values of the points it wants, and on nothing else: not on who computed them, when, or in which
order. So the same points come out of every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossgrid.sampling.hierarchy import (
    Level,
    Mask,
    cells_at,
    corners,
    largest_at_corners,
    levels_of,
    with_neighbours,
)
from lossgrid.sampling.nested import Array, Indices
from lossgrid.sampling.ruler import Ruler, Tolerance
from lossgrid.surface.quantity import Quantity

DECAY = (1 / 16, 1 / 2)  # of surpluses from level to level: that of smooth functions, and the least that is believed
NEVER = 255  # the level of points that are not wanted


@dataclass(frozen=True)
class Lattices:
    """The grid of a sweep.

    Attributes:
        coarsest: Rows and columns of the coarsest lattice.
        levels: The finer ones; the last one is the grid.
        shape: ``(n_beta, n_alpha)``; a line has one row.
        centre: Row and column of theta*; None if it is no point.
        alpha: Coordinates along delta, shape ``(n_alpha,)``, float64.
        beta: Coordinates along eta; one for a line.
    """

    coarsest: tuple[Indices, Indices]
    levels: Sequence[Level]
    shape: tuple[int, int]
    centre: tuple[int, int] | None
    alpha: Array
    beta: Array

    @classmethod
    def of(cls, alpha: Array, beta: Array, centre: tuple[int, int] | None) -> Lattices:
        """Return the lattices of a grid; ``beta`` has one coordinate for a line."""
        coarsest, levels = levels_of(alpha, beta)
        return cls(coarsest, levels, (len(beta), len(alpha)), centre, alpha, beta)


@dataclass(frozen=True)
class Corrections:
    """What is interpolated: values in their scale, less an origin.

    Attributes:
        found: Shape ``(n_quantities, n_beta, n_alpha)``, float64.
        origin: Likewise; 0 where values themselves are interpolated.
        logs: Which quantities are interpolated in their logarithm, shape ``(n_quantities,)``, bool.
    """

    found: Array
    origin: Array
    logs: Mask

    def values(self, found: Array) -> Array:
        """Return the values of other corrections than ``found``."""
        return _back(found, self.origin, self.logs)


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes:
        level: The level of each wanted point, ``NEVER`` for others, ``(n_beta, n_alpha)``, uint8.
        missing: Wanted points without values; the sweep ended there, and the rest is as far as it came.
        values: The whole surface, ``(n_quantities, n_beta, n_alpha)``, float64; NaN if points are missing.
        spread: How far interpolated values may be off, in tolerances, of the same shape; 0 where computed.
        rulers: The ruler of each quantity.
        used: The points whose values were used; None if points are missing.
        corrections: What was interpolated; None if points are missing.
    """

    level: npt.NDArray[np.uint8]
    missing: Mask
    values: Array
    spread: Array
    rulers: Sequence[Ruler]
    used: Mask | None = None
    corrections: Corrections | None = None

    @property
    def wanted(self) -> Mask:
        """The points it wants."""
        return np.asarray(self.level != NEVER)


def steering(quantities: Sequence[Quantity]) -> Mask:
    """Return which quantities decide where points are computed, shape ``(n_quantities,)``, bool.

    They are those that vary by factors, such as losses; without one all. A fraction of samples is no smooth function:
    its steps would want every point.
    """
    losses = np.array([one.varies == "by factors" for one in quantities])
    return losses if losses.any() else ~losses


def sweep(
    lattices: Lattices,
    quantities: Sequence[Quantity],
    values: Array,
    known: Mask,
    tolerance: Tolerance,
    *,
    given: Mask,
    base: Array | None = None,
    caution: float = 1.0,
    to_the_end: bool = False,
) -> Sweep:
    """Sweep from the coarsest lattice to the grid, or to the first level with wanted points that are not known.

    Args:
        lattices: The grid.
        quantities: The quantities of a point.
        values: Values of known points, ``(n_quantities, n_beta, n_alpha)``, float64.
        known: Which points have values, ``(n_beta, n_alpha)``, bool.
        tolerance: How far values may be off.
        given: Points whose values are used though no cell wants them.
        base: Estimates of all values, of their shape: how values differ from them is interpolated. None for none.
        caution: A factor of all surpluses: 2 refines as for half the tolerance.
        to_the_end: Interpolate points that are wanted and not known, too: the best surface so far.
    """
    level_of = np.full(lattices.shape, NEVER, dtype=np.uint8)
    first = np.ix_(*lattices.coarsest)
    level_of[first] = 0
    if lattices.centre is not None:
        level_of[lattices.centre] = 0
    missing = (level_of != NEVER) & ~known
    nothing = np.full(values.shape, np.nan)
    if missing.any():  # without them there is nothing to interpolate
        return Sweep(level_of, missing, nothing, nothing, ())
    # Losses are interpolated in their logarithm, which is smooth where they grow by factors.
    steers = steering(quantities)
    positive = (values[:, first[0], first[1]] > 0).all(axis=(1, 2))
    if base is not None:
        positive &= ~(base <= 0).any(axis=(1, 2))
    logs = positive & np.array([one.varies == "by factors" for one in quantities])
    origin = np.zeros(values.shape) if base is None else _forth(base, logs)
    with np.errstate(invalid="ignore"):
        truth = _forth(values, logs) - origin

    def scale(used: Mask) -> Array:
        """Return the values that show the range of the surface."""
        return values[:, used] if base is None else base.reshape(len(base), -1)

    found = truth[:, first[0], first[1]]
    spread = np.zeros(found.shape)
    flagged = np.ones([max(size - 1, 1) for size in found.shape[1:]], dtype=bool)
    surplus, decay, before = np.full((len(quantities), *flagged.shape), np.inf), np.full(len(quantities), 0.5), None
    rulers: Sequence[Ruler] = ()
    for number, level in enumerate(lattices.levels, start=1):
        asked = corners(level.children(flagged), level.shape) & level.is_new
        if to_the_end:
            asked &= known[level.points]
        part = level_of[level.points]
        part[asked] = number
        level_of[level.points] = part
        missing = (level_of != NEVER) & ~known
        if missing.any():
            return Sweep(level_of, missing, nothing, nothing, rulers)
        used = (level_of != NEVER) | given
        rulers = [Ruler.of(one, own, tolerance) for one, own in zip(quantities, scale(used), strict=True)]
        there = used[level.points] & level.is_new
        at = origin[:, level.points[0], level.points[1]]
        predicted, found = _refined(level, found, truth[:, level.points[0], level.points[1]], there)
        off = np.stack(
            [
                ruler.distance(one, other)
                for ruler, one, other in zip(rulers, _back(predicted, at, logs), _back(found, at, logs), strict=True)
            ]
        )
        off[:, ~there] = 0.0
        off[:, there & ~np.isfinite(found).all(axis=0)] = np.inf
        if before is not None:
            decay = _decay(before, off, there)
        before = _medians(off, there)
        # The surplus of a cell: of its own new points, or what the coarser cell had, in its decay.
        has_own = largest_at_corners(there.astype(float)) > 0
        inherited = level.children(surplus) * decay[:, np.newaxis, np.newaxis]
        surplus = np.where(has_own, largest_at_corners(off), np.where(np.isfinite(inherited), inherited, 0.0))
        spread = _spread(level, spread, surplus, there)
        expected = surplus * decay[:, np.newaxis, np.newaxis] * caution
        flagged = (expected[steers] > 1).any(axis=0)
        flagged = with_neighbours(flagged)
        if lattices.centre is not None and base is None:  # a minimum may be sharper than any cell
            flagged |= cells_at(*lattices.centre, level)
    computed = used if lattices.levels else known
    if not rulers:
        rulers = [Ruler.of(one, own, tolerance) for one, own in zip(quantities, scale(computed), strict=True)]
    whole = _back(found, origin, logs)
    whole[:, computed] = values[:, computed]
    spread = np.where(computed, 0.0, spread)
    return Sweep(level_of, missing, whole, spread, rulers, computed, Corrections(found, origin, logs))


def _forth(values: Array, logs: Mask) -> Array:
    """Return the logarithms of the quantities in ``logs``, the values of the others."""
    found = np.array(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        found[logs] = np.log(values[logs])
    return found


def _back(corrections: Array, origin: Array, logs: Mask) -> Array:
    """Return values of ``corrections`` to ``origin``, both as :func:`_forth` makes them."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = corrections + origin
        found[logs] = np.exp(found[logs])
    return np.asarray(found)


def _refined(level: Level, coarse: Array, truth: Array, there: Mask) -> tuple[Array, Array]:
    """Return the predictions of a level, and the surface on it: the truth where it is there, else the prediction.

    Columns come first: the predictions of new rows use what is known in them.
    """
    rows = level.rows
    across = level.columns.predict(coarse)
    kept = np.where(there[rows.kept], truth[:, rows.kept], across)
    predicted = rows.predict(kept.swapaxes(1, 2)).swapaxes(1, 2)
    found = np.where(there, truth, predicted)
    predicted[:, rows.kept] = across
    return predicted, found


def _medians(off: Array, there: Mask) -> Array:
    """Return the median surplus of each quantity, of points that were off at all; NaN if none was."""
    picked = np.where(np.isfinite(off[:, there]) & (off[:, there] > 0), off[:, there], np.nan)
    return np.array([np.nanmedian(one) if np.isfinite(one).any() else np.nan for one in picked])


def _decay(before: Array, off: Array, there: Mask) -> Array:
    """Return by which factor surpluses become smaller from level to level, for each quantity, within ``DECAY``."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = _medians(off, there) / before
    return np.where(np.isfinite(ratio), np.clip(ratio, *DECAY), DECAY[1])


def _spread(level: Level, before: Array, surplus: Array, there: Mask) -> Array:
    """Return how far the points of a level may be off: as the cells around, or as the points they are made of."""
    inherited = level.columns.largest_near(before)
    inherited = level.rows.largest_near(inherited.swapaxes(1, 2)).swapaxes(1, 2)
    around = np.zeros(inherited.shape)
    rows, columns = surplus.shape[1:]
    many_rows, many_columns = level.shape[0] > 1, level.shape[1] > 1
    for row in (0, 1) if many_rows else (0,):
        for column in (0, 1) if many_columns else (0,):
            part = (slice(None), slice(row, row + rows), slice(column, column + columns))
            around[part] = np.maximum(around[part], surplus)
    around[:, ~level.is_new] = 0.0
    return np.where(there, 0.0, np.maximum(inherited, around))
