"""The (alpha, beta) grid: axes and index order.

Index order of the whole package: arrays over the grid are ``[beta, alpha]``; ``value[j, i]`` belongs to ``beta[j]``
and ``alpha[i]``. A line has no beta axis; its arrays have shape ``(n_alpha,)`` in files and pictures
and are computed as one row, ``(1, n_alpha)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError

# Fraction of the largest coordinate: closer coordinates are equal. Values of a range have errors of a few 1e-16 of it,
# and users type bounds with fewer digits.
SAME_COORDINATE = 1e-12
CLOSEST = 8  # units in the last place of the largest coordinate: least step; round-off is smaller
MOST_STEPS = 2**53  # float64 cannot represent larger indices
LARGE, LESS = 1e280, 2.0**-64  # bounds above may overflow times a count; the factor prevents it without round-off


@dataclass(frozen=True)
class Axis:
    """``count`` equally spaced coordinates from ``minimum`` to ``maximum``, both included."""

    minimum: float
    maximum: float
    count: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.minimum) and math.isfinite(self.maximum)):
            raise InputError(f"a range needs finite bounds, got {self}")
        if self.count < 1:
            raise InputError(f"a range needs N of at least 1, got {self}")
        if self.count == 1 and self.minimum != self.maximum:
            raise InputError(f"a range of one point needs MIN = MAX, got {self}")
        if self.count > 1 and self.minimum >= self.maximum:
            raise InputError(f"a range needs MIN < MAX, got {self}")
        if self.count > 1 and not self._can_be_told_apart():
            raise InputError(
                f"a range needs coordinates that float64 can tell apart, got {self}; give fewer points or a wider range"
            )

    def _can_be_told_apart(self) -> bool:
        last = self.count - 1
        if last > MOST_STEPS:
            return False
        step = self.maximum / last - self.minimum / last  # maximum - minimum may overflow
        return step >= CLOSEST * math.ulp(max(-self.minimum, self.maximum))

    @classmethod
    def parse(cls, text: str) -> Axis:
        """Read ``MIN:MAX:N``.

        Raises:
            InputError: The text is not two numbers and a count, or they make no range.
        """
        try:
            minimum, maximum, count = text.split(":")
            return cls(float(minimum), float(maximum), int(count))
        except InputError:
            raise
        except ValueError:
            raise InputError(f"expected MIN:MAX:N such as -1:1:51, got {text!r}") from None

    def values(self) -> npt.NDArray[np.float64]:
        """Return the coordinates, shape ``(count,)``, float64.

        Both bounds are exact. Coordinates between them are weighted means: a symmetric range with an odd count has
        exactly 0 in its centre, so that the surface contains theta*.
        """
        if self.count == 1:
            return np.array([self.minimum])
        i = np.arange(self.count)
        last = self.count - 1
        scale = LESS if max(abs(self.minimum), abs(self.maximum)) > LARGE else 1.0
        values = (self.minimum * scale * (last - i) + self.maximum * scale * i) / last / scale
        values[0], values[-1] = self.minimum, self.maximum  # without round-off
        return values

    def __str__(self) -> str:
        return f"{self.minimum!r}:{self.maximum!r}:{self.count}"


@dataclass(frozen=True)
class Grid:
    """The points of a run; ``beta`` is None for a line."""

    alpha: Axis
    beta: Axis | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of arrays in files: ``(n_beta, n_alpha)``, or ``(n_alpha,)`` for a line."""
        return (self.alpha.count,) if self.beta is None else (self.beta.count, self.alpha.count)

    @property
    def rows(self) -> tuple[int, int]:
        """Shape of arrays in a run: ``(n_beta, n_alpha)``; a line is one row."""
        return (1, self.alpha.count) if self.beta is None else (self.beta.count, self.alpha.count)

    def __len__(self) -> int:
        return math.prod(self.rows)

    def at(self, row: int, column: int) -> tuple[float, float]:
        """Return the coordinates (alpha, beta) of a point; beta is 0 on a line."""
        beta = 0.0 if self.beta is None else float(self.beta.values()[row])
        return float(self.alpha.values()[column]), beta

    @property
    def centre(self) -> tuple[int, int] | None:
        """Row and column of (0, 0), theta*; None if the grid does not contain it."""
        return zero_of(self.alpha.values(), None if self.beta is None else self.beta.values())

    @property
    def reach(self) -> tuple[float, float]:
        """The coordinates furthest from 0 along alpha and beta; 0 for the beta of a line."""
        ends = [(axis.minimum, axis.maximum) for axis in (self.alpha, self.beta) if axis is not None]
        furthest = [max(pair, key=abs) for pair in ends]
        return furthest[0], furthest[1] if len(furthest) == 2 else 0.0


def zero_of(alpha: npt.NDArray[np.float64], beta: npt.NDArray[np.float64] | None) -> tuple[int, int] | None:
    """Return row and column of (0, 0); None if the coordinates do not contain it.

    Args:
        alpha: Shape ``(n_alpha,)``, float64.
        beta: Shape ``(n_beta,)``, float64; None for a line.
    """
    rows, columns = ([0] if axis is None else np.flatnonzero(axis == 0.0).tolist() for axis in (beta, alpha))
    return (rows[0], columns[0]) if rows and columns else None


def equally_spaced(coordinates: npt.NDArray[np.float64]) -> Axis | None:
    """Return the range whose values are ``coordinates`` within round-off; None if they are not equally spaced.

    Args:
        coordinates: Rising, shape ``(n,)``, float64.
    """
    axis = Axis(float(coordinates[0]), float(coordinates[-1]), len(coordinates))
    with np.errstate(over="ignore"):
        distance = np.abs(axis.values() - coordinates).max()
    return axis if distance <= SAME_COORDINATE * np.abs(coordinates).max() else None


def range_in_words(coordinates: npt.NDArray[np.float64]) -> str:
    """Return the setting of an axis, ``MIN:MAX:N``, or the number of coordinates if they are not equally spaced.

    >>> range_in_words(np.array([0.0, 0.5, 1.0])), range_in_words(np.array([0.0, 0.1, 1.0]))
    ('0.0:1.0:3', '3 coordinates, not equally spaced')
    """
    axis = equally_spaced(coordinates)
    return f"{len(coordinates)} coordinates, not equally spaced" if axis is None else str(axis)


def union(
    axes: Sequence[npt.NDArray[np.float64]],
) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[np.intp]]]:
    """Return the union of several axes; coordinates that differ by round-off only are equal.

    Args:
        axes: One array for each, shape ``(n,)``, float64.

    Returns:
        All coordinates, rising, and exactly the values of a range if they are equally spaced; for each of ``axes``
        the indices of its coordinates in the union, shape ``(n,)``.
    """
    every = np.concatenate(axes)
    order = np.argsort(every, kind="stable")
    is_next = np.diff(every[order], prepend=-np.inf) > SAME_COORDINATE * np.abs(every).max()
    index = np.empty(len(every), dtype=np.intp)
    index[order] = np.cumsum(is_next) - 1
    first = np.minimum.reduceat(order, np.flatnonzero(is_next))  # of equal coordinates the bits of the first axis
    axis = equally_spaced(every[first])
    starts = np.cumsum([len(axis) for axis in axes])[:-1]
    return every[first] if axis is None else axis.values(), np.split(index, starts)
