"""The audit of interpolated points: some, drawn in advance, are computed and compared.

No decision has looked at them, so they stand for all interpolated points, whatever the surface is like: no smoothness
is assumed. What they tell is a share. A spike between points is invisible to them too.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

CONFIDENCE = 0.95
MOST_WRONG = 0.05  # share of the interpolated points that may be further off than the tolerance
FIRST = 0.8  # share of the doubt that the first audit spends; each later one spends half of what is left
SHARE = 0.025  # of the points: a larger audit costs more than it tells
MOST_FORGIVEN = 8  # wrong points of an audit that passes
LEAST_BAR = 0.01  # tolerances: the shortest error bar before it is scaled


def order_of(digest: str, points: int) -> npt.NDArray[np.intp]:
    """Return all points in the order in which audits draw them: a permutation that the digest of the run decides."""
    seed = int.from_bytes(hashlib.sha256(f"audit {digest}".encode()).digest(), "big")
    return np.random.Generator(np.random.PCG64(seed)).permutation(points)


def confidence_of(audit: int) -> float:
    """Return the confidence of an audit, counted from 0, so that all audits together have ``CONFIDENCE``.

    >>> [round(1 - confidence_of(audit), 5) for audit in range(4)]
    [0.04, 0.005, 0.0025, 0.00125]
    """
    doubt = 1 - CONFIDENCE
    return 1 - doubt * (FIRST if audit == 0 else (1 - FIRST) / 2**audit)


def size_of(points: int, confidence: float) -> int:
    """Return how many points an audit draws in a grid of ``points``; in large ones it can forgive wrong ones."""
    size = _size(0, points, confidence)
    for forgiven in range(1, MOST_FORGIVEN + 1):
        larger = _size(forgiven, points, confidence)
        if larger > SHARE * points:
            break
        size = larger
    return size


def enough(size: int, points: int, confidence: float) -> int:
    """Return the least size of an audit, from ``size`` on, that passes without a wrong point; all ``points`` at most.

    The bound is a whole number of points, so it may fail by one for a size that passes in a larger grid.
    """
    return next((one for one in range(min(size, points), points) if _may_pass(0, one, points, confidence)), points)


def _may_pass(wrong: int, audited: int, points: int, confidence: float) -> bool:
    """Return whether an audit passes with ``wrong`` ones among the ``audited`` of ``points``."""
    return most_wrong(wrong, audited, points, confidence) - wrong <= MOST_WRONG * (points - audited)


@cache
def _size(wrong: int, points: int, confidence: float) -> int:
    """Return how many points must be drawn for an audit to pass with ``wrong`` ones among them; all if no less does."""
    low, high = min(wrong + 1, points), points
    while low < high:
        middle = (low + high) // 2
        if _may_pass(wrong, middle, points, confidence):
            high = middle
        else:
            low = middle + 1
    return low


def most_wrong(wrong: int, audited: int, points: int, confidence: float) -> int:
    """Return how many of ``points`` are wrong at most, if ``wrong`` of ``audited`` drawn ones are.

    It is the exact upper bound of sampling without replacement, as that of Clopper and Pearson (Biometrika 26, 1934) is
    with replacement: the largest number of which ``wrong`` or fewer are drawn with a probability above
    ``1 - confidence``.

    >>> most_wrong(0, 59, 100_000, 0.95) / 100_000
    0.04949
    """
    low, high = wrong, points - (audited - wrong)
    while low < high:
        middle = (low + high + 1) // 2
        if _probability(wrong, audited, middle, points) > 1 - confidence:
            low = middle
        else:
            high = middle - 1
    return low


def _probability(wrong: int, audited: int, all_wrong: int, points: int) -> float:
    """Return the probability that at most ``wrong`` of ``audited`` points are wrong, if ``all_wrong`` of all are."""
    ways = [
        _log_ways(all_wrong, k) + _log_ways(points - all_wrong, audited - k) - _log_ways(points, audited)
        for k in range(wrong + 1)
        if k <= all_wrong and audited - k <= points - all_wrong
    ]
    return math.fsum(map(math.exp, ways))


def _log_ways(things: int, chosen: int) -> float:
    return math.lgamma(things + 1) - math.lgamma(chosen + 1) - math.lgamma(things - chosen + 1)


def widening(errors: Array, spread: Array, confidence: float) -> float:
    """Return the factor of the expected errors that makes them bars: the quantile of split conformal prediction.

    A new point is within its bar with the probability ``confidence`` at least, on average over draws of the audit
    (Lei et al., "Distribution-free predictive inference for regression", JASA 113, 2018). Infinite for few points.

    Args:
        errors: Errors of audited points, in tolerances, shape ``(n,)``.
        spread: What was expected of them, likewise.
        confidence: The share of points within their bars.
    """
    rank = math.ceil((len(errors) + 1) * confidence)
    if rank > len(errors):
        return math.inf
    return float(np.sort(errors / np.maximum(spread, LEAST_BAR))[rank - 1])


@dataclass(frozen=True)
class Verdict:
    """What an audit found.

    Attributes:
        audited: Number of points computed for it.
        wrong: Number of these that were further off than the tolerance, for each quantity.
        most_wrong: Of the interpolated points that were not audited, so many are wrong at most, for each quantity.
        passes: Whether few enough are wrong in the quantities that steer.
        factors: Factor of each quantity that makes expected errors bars.
    """

    audited: int
    wrong: Sequence[int]
    most_wrong: Sequence[int]
    passes: bool
    factors: Sequence[float]


def judge(errors: Array, spread: Array, points: int, confidence: float, *, steers: npt.NDArray[np.bool_]) -> Verdict:
    """Return the verdict of an audit.

    Args:
        errors: Errors of the audited points, in tolerances, shape ``(n_quantities, n)``.
        spread: What was expected, of the same shape.
        points: Number of interpolated points, those audited among them.
        confidence: The confidence of the verdict.
        steers: Which quantities decide whether it passes, shape ``(n_quantities,)``.
    """
    audited = errors.shape[1]

    def most(wrong: int) -> int:
        return most_wrong(wrong, audited, points, confidence) - wrong

    wrong = [int(count) for count in np.count_nonzero(errors > 1, axis=1)]
    in_any = int(np.count_nonzero((errors[steers] > 1).any(axis=0)))
    factors = [widening(own, expected, CONFIDENCE) for own, expected in zip(errors, spread, strict=True)]
    passes = _may_pass(in_any, audited, points, confidence)
    return Verdict(audited, wrong, [most(count) for count in wrong], passes, factors)
