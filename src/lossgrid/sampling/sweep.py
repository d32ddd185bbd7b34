"""A sweep over a grid: which points are wanted, in rounds, and the surface that they make.

A coarse lattice comes first. Then each round wants the points where the surface so far is least known: where its
standard error, by splines through the points nearby, is above a limit. Points of a round keep a distance, as each tells
of its neighbours too. All other points are defined by the splines.

A sweep depends on the values of the points it wants, and on nothing else: not on who computed them, when, or in which
order. So the same points come out of every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossgrid.sampling.asked import NEVER, Asked, Mask
from lossgrid.sampling.ruler import Ruler, Tolerance
from lossgrid.sampling.spline import LEAST, Array, Indices, Nodes, tree_of
from lossgrid.surface.quantity import Quantity

FEWEST = 4  # gaps along each axis of the first lattice
WITNESSES = 12  # nodes whose errors, left out, tell the scale of the errors around
APART = 1.25  # distances to the nearest known point: no other point of a round is as near
CORNERS = 4  # nearest points: where one of them is not finite, nothing is interpolated
SIGMAS = 1.96  # standard errors of a normal error that is met by 95 %


@dataclass(frozen=True)
class Places:
    """Where the points of a grid are.

    Attributes:
        alpha: Coordinates along delta in the range of the grid, shape ``(n_alpha,)``, float64, from 0 to 1.
        beta: Those along eta; one for a line.
        centre: Row and column of theta*; None if it is no point.
    """

    alpha: Array
    beta: Array
    centre: tuple[int, int] | None

    @classmethod
    def of(cls, alpha: Array, beta: Array, centre: tuple[int, int] | None) -> Places:
        """Return the places of a grid with these coordinates; ``beta`` has one for a line."""
        return cls(_of_range(alpha), _of_range(beta), centre)

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_beta, n_alpha)``; a line has one row."""
        return len(self.beta), len(self.alpha)

    def at(self, points: Mask) -> Array:
        """Return the coordinates of points, row by row, shape ``(n, 2)``, float64."""
        rows, columns = np.nonzero(points)
        return np.stack([self.beta[rows], self.alpha[columns]], axis=1)

    def first(self) -> Mask:
        """Return the points of the first lattice, and theta*: what it is off shows a minimum sharper than its gaps."""
        found = np.zeros(self.shape, dtype=bool)
        found[np.ix_(*(np.linspace(0, n - 1, FEWEST + 1).round().astype(int) for n in self.shape))] = True
        if self.centre is not None:
            found[self.centre] = True
        return found

    def lattice(self, number: int) -> Mask:
        """Return the points that a round may want: those of a lattice, finer from round to round, in the end all."""
        found = np.zeros(self.shape, dtype=bool)
        rows, columns = (max(1, (n - 1) // (FEWEST * 2 ** min(number + 1, 60))) for n in self.shape)
        found[::rows, ::columns] = True
        return found

    def apart(self, urgency: Array, reach: Array) -> Mask:
        """Return points of positive ``urgency``, the most urgent first, none within ``reach`` of an earlier one.

        Args:
            urgency: Shape ``(n_beta, n_alpha)``, float64.
            reach: Along either axis, in the range of the grid, likewise.
        """
        found, free = np.zeros(self.shape, dtype=bool), urgency > 0
        candidates = np.flatnonzero(free)
        order = candidates[np.argsort(-urgency.ravel()[candidates], kind="stable")]
        rows, columns = _within(self.beta, self.beta[:, np.newaxis], reach), _within(self.alpha, self.alpha, reach)
        for row, column in zip(*np.unravel_index(order, self.shape), strict=True):
            if free[row, column]:
                found[row, column] = True
                at = row, column
                free[rows[0][at] : rows[1][at], columns[0][at] : columns[1][at]] = False
        return found


def _within(axis: Array, place: Array, reach: Array) -> tuple[Indices, Indices]:
    """Return the first index of an axis within ``reach`` of a place, and the first one after them."""
    return np.searchsorted(axis, place - reach, "left"), np.searchsorted(axis, place + reach, "right")


def _of_range(axis: Array) -> Array:
    return np.asarray((axis - axis[0]) / (axis[-1] - axis[0])) if len(axis) > 1 else np.zeros(1)


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes:
        level: The round in which a point was wanted, ``NEVER`` for others, ``(n_beta, n_alpha)``, uint8.
        missing: Wanted points without values; where there are any, the surface is not known yet.
        values: The whole surface, ``(n_quantities, n_beta, n_alpha)``, float64; NaN if points are missing.
        spread: How far 95 % of the interpolated values may be off, in tolerances, of the same shape; 0 where computed.
        rulers: The ruler of each quantity; none if points are missing.
    """

    level: npt.NDArray[np.uint8]
    missing: Mask
    values: Array
    spread: Array
    rulers: Sequence[Ruler] = ()

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
    places: Places,
    quantities: Sequence[Quantity],
    asked: Asked,
    tolerance: Tolerance,
    *,
    given: Mask,
    limit: float,
    base: Array | None = None,
    to_the_end: bool = False,
) -> Sweep:
    """Go on with the rounds of a sweep, to the first that wants points which are not known, or to the end.

    Args:
        places: The grid.
        quantities: The quantities of a point.
        asked: Values of known points, and the rounds so far.
        tolerance: How far values may be off.
        given: Points whose values are used though no round wanted them.
        limit: The largest standard error of a point that is not wanted, in tolerances.
        base: Estimates of all values, ``(n_quantities, n_beta, n_alpha)``: how values differ from them is interpolated.
            None for none.
        to_the_end: Interpolate through all known points: the best surface so far.
    """
    first, level = places.first(), asked.level.copy()
    level[first & (level == NEVER)] = 0
    finer = 0
    while True:
        missing = (first if to_the_end else level != NEVER) & ~asked.known
        if missing.any():
            nothing = np.full(asked.values.shape, np.nan)
            return Sweep(level, missing, nothing, nothing)
        used = asked.known if to_the_end else (level != NEVER) | given
        number = min(int(level[level != NEVER].max()) + 1, NEVER - 1)
        candidates = places.lattice(NEVER if to_the_end else number + finer)
        found = _interpolated(places, quantities, asked.values, used, candidates & ~used, tolerance, base)
        urgency = np.where(found.errors > limit, found.errors, 0.0)[steering(quantities)].max(axis=0)
        wanted = places.apart(urgency, APART * found.distance)
        if to_the_end or (candidates.all() and not wanted.any()):
            return Sweep(level, missing, found.values, SIGMAS * found.errors, found.rulers)
        level[wanted] = number
        finer = 0 if wanted.any() else finer + 1


@dataclass(frozen=True)
class _Surface:
    """A surface through known points: values, standard errors in tolerances, distances to the nearest known point."""

    values: Array
    errors: Array
    distance: Array
    rulers: Sequence[Ruler]


def _interpolated(
    places: Places,
    quantities: Sequence[Quantity],
    values: Array,
    used: Mask,
    others: Mask,
    tolerance: Tolerance,
    base: Array | None,
) -> _Surface:
    """Return the surface through the points in ``used``, at these and at ``others``; NaN elsewhere."""
    scale = values[:, used] if base is None else base.reshape(len(base), -1)  # it shows the range of the surface
    rulers = [Ruler.of(one, own, tolerance) for one, own in zip(quantities, scale, strict=True)]
    # Losses are interpolated in their logarithm, which is smooth where they grow by factors.
    logs = np.array([one.varies == "by factors" for one in quantities]) & ~(values[:, used] <= 0).any(axis=1)
    if base is not None:
        logs &= ~(base <= 0).any(axis=(1, 2))
    origin = np.zeros(values.shape) if base is None else _forth(base, logs)
    with np.errstate(invalid="ignore"):
        truth = _forth(values, logs) - origin
    finite = used & np.isfinite(truth).all(axis=0)
    whole = np.where(used, values, np.nan)
    errors = np.zeros(values.shape)
    distance = np.zeros(used.shape)
    if not others.any():
        return _Surface(whole, errors, distance, rulers)
    at, expected = places.at(others), np.full((len(values), np.count_nonzero(others)), np.inf)
    is_beside = ~np.isfinite(origin[:, others]).all(axis=0)
    if is_enough := np.count_nonzero(finite) >= LEAST:
        nodes = Nodes.of(places.at(finite), truth[:, finite])
        left_out, found = nodes.left_out(), nodes.predict(at)
        pairs = zip(rulers, _back(left_out.values + origin[:, finite], logs), values[:, finite], strict=True)
        off = np.stack([ruler.distance(one, other) for ruler, one, other in pairs])
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            squares = (off / left_out.power)[:, found.near[:, :WITNESSES]] ** 2
            expected = found.power * np.sqrt(squares.mean(axis=2))
        distance[others] = found.distance
        whole[:, others] = _back(found.values + origin[:, others], logs)
    if not (is_enough and finite[used].all()):  # points without a finite value are no nodes, and near ones matter
        reach, near = tree_of(places.at(used)).query(at, min(CORNERS, np.count_nonzero(used)))
        distance[others] = reach.reshape(len(at), -1)[:, 0]
        is_beside |= ~finite[used][near].reshape(len(at), -1).all(axis=1)
    errors[:, others] = np.where(np.isfinite(expected) & ~is_beside, expected, np.inf)
    return _Surface(whole, errors, distance, rulers)


def _forth(values: Array, logs: Mask) -> Array:
    """Return the logarithms of the quantities in ``logs``, the values of the others."""
    found = np.array(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        found[logs] = np.log(values[logs])
    return found


def _back(found: Array, logs: Mask) -> Array:
    """Return the values of what :func:`_forth` makes of them."""
    back = np.array(found)
    with np.errstate(over="ignore"):
        back[logs] = np.exp(found[logs])
    return back
