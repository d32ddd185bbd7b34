"""Landscapes: values over a grid, lower is better, NaN where unknown; all numbers are computed from them.

The loss is linear between two points of a row or a column. Points are neighbours along rows, columns and diagonals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.numbers.merging import MergeTree, merge_tree
from lossgrid.precision import PRECISIONS, precision_of
from lossgrid.surface import Surface
from lossgrid.surface.grid import SAME_COORDINATE

Values = npt.NDArray[np.float64]

EXACT = PRECISIONS["float64"].noise  # relative round-off of arrays given in float64
FEWEST = 3  # points along an axis: fewer have no curvature
SHORTEST, LONGEST = 1e-100, 1e100  # least step and largest coordinate: squares neither underflow nor overflow
SMALLEST, LARGEST = 2.0**-300, 2.0**300  # values within: the same for products with squares of coordinates


@dataclass(frozen=True)
class Landscape:
    """Values over a grid, ``[beta, alpha]``; a line is one row.

    Attributes:
        alpha: Rising coordinates along delta, shape ``(n_alpha,)``, float64, in lengths of delta.
        beta: Rising coordinates along eta, shape ``(n_beta,)``, float64, in lengths of eta; None for a line.
        values: Shape ``(n_beta, n_alpha)``, float64, in ``unit``; for a line ``(1, n_alpha)``. NaN where unknown.
        noise: Round-off as a fraction of a value.
        unit: A power of two; 1 but for losses near the ends of float64, whose sums and squares would overflow.
    """

    alpha: Values
    beta: Values | None
    values: Values
    noise: float
    unit: float = 1.0

    @property
    def is_line(self) -> bool:
        """Whether there is no beta axis."""
        return self.beta is None

    @property
    def rows(self) -> Values:
        """Coordinates along eta, 0 for the one row of a line, shape ``(n_beta,)``, float64."""
        return np.zeros(1) if self.beta is None else self.beta

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Where there is a value, shape ``(n_beta, n_alpha)``, bool."""
        return np.isfinite(self.values)

    @property
    def left_out(self) -> int:
        """Number of points without a value."""
        return int(np.count_nonzero(~self.known))

    @cached_property
    def tree(self) -> MergeTree:
        """The merge tree of the sublevel sets."""
        return merge_tree(self.values)

    @property
    def range(self) -> float:
        """Highest less lowest value, in ``unit``."""
        known = self.values[self.known]
        return float(known.max() - known.min())


@dataclass(frozen=True)
class Bound:
    """A measured number; a lower bound if the measured region leaves the grid or meets unknown values.

    Attributes:
        value: The number.
        is_lower: Whether it is a lower bound.
    """

    value: float
    is_lower: bool


def of_arrays(
    values: npt.ArrayLike,
    alpha: npt.ArrayLike,
    beta: npt.ArrayLike | None = None,
    *,
    noise: float = EXACT,
) -> Landscape:
    """Return the landscape of arrays.

    Args:
        values: Shape ``(n_beta, n_alpha)``, or ``(n_alpha,)`` for a line; values that are not finite are unknown.
        alpha: Coordinates along delta, shape ``(n_alpha,)``.
        beta: Coordinates along eta, shape ``(n_beta,)``; None for a line.
        noise: Round-off as a fraction of a value.

    Raises:
        InputError: The shapes do not match, an axis has fewer than three points or does not rise, or no value is
            finite.
    """
    axes = [np.array(axis, dtype=np.float64) for axis in (beta, alpha) if axis is not None]
    found = np.array(values, dtype=np.float64)
    if found.shape != tuple(len(axis) for axis in axes):
        raise InputError(f"expected values of shape {tuple(len(axis) for axis in axes)}, got {found.shape}")
    for axis in axes:
        _check(axis)
    known = np.isfinite(found)
    if not known.any():
        raise InputError("no point of the surface has a finite value")
    found[~known] = np.nan
    unit = _unit(float(np.abs(found[known]).max()))
    values = (found / unit).reshape(-1, len(axes[-1]))
    return Landscape(axes[-1], None if beta is None else axes[0], values, noise, unit)


def _check(axis: Values) -> None:
    """Replace coordinates that differ from 0 by round-off only by 0, in place.

    Raises:
        InputError: The coordinates are too few, do not rise, or are too large or too close for their squares.
    """
    if len(axis) < FEWEST or not (axis[1:] > axis[:-1]).all():
        raise InputError(
            f"numbers of a surface need {FEWEST} rising coordinates along each axis, got {len(axis)}; "
            "compute a finer grid, or a line instead of a plane"
        )
    most = float(np.abs(axis).max())
    if not most <= LONGEST:
        raise InputError(f"numbers of a surface need coordinates of at most {LONGEST:g}, got {most:g}")
    axis[np.abs(axis) <= SAME_COORDINATE * most] = 0.0
    if not np.diff(axis).min() >= SHORTEST:
        raise InputError(
            f"numbers of a surface need steps of at least {SHORTEST:g} and {SAME_COORDINATE:g} of the range, got "
            f"coordinates that are closer between {axis[0]:g} and {axis[-1]:g}; compute another grid"
        )


def _unit(most: float) -> float:
    """Return the unit of values whose largest is ``most``: a power of two."""
    return 1.0 if most == 0 or SMALLEST <= most <= LARGEST else math.ldexp(1.0, math.frexp(most)[1] - 1)


def of_surface(surface: Surface, name: str, *, vmax: float | None = None) -> Landscape:
    """Return the landscape of a quantity, so that lower is better: accuracies become fractions of errors.

    Args:
        surface: A surface, complete or not.
        name: Such as ``train_loss``.
        vmax: Values above are unknown.

    Raises:
        InputError: The surface has no such quantity, or its grid is too small.
    """
    values, noise = surface[name], precision_of(surface.origin.setting("precision")).noise
    quantity = surface.quantities[name]
    if quantity.better == "higher":
        values = (quantity.bounds[1] or 0.0) - values
    if quantity.varies == "by factors" and surface.rounding is not None:
        noise = _measured(surface.rounding.get("largest"), name, noise)
    if vmax is not None:
        values = np.where(values <= vmax, values, np.nan)
    return of_arrays(values, surface.alpha, surface.beta, noise=noise)


def _measured(largest: Any, name: str, otherwise: float) -> float:
    """Return the round-off measured by the run; ``otherwise`` if the file has no such number."""
    value: Any = largest.get(name) if isinstance(largest, Mapping) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= LARGEST else otherwise
