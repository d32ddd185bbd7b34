"""The ruler of a quantity: in which scale two values are compared, and how far apart they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lossgrid.surface.quantity import LOG_FROM, Quantity

Array = npt.NDArray[np.float64]
Unit = Literal["colours", "value"]


@dataclass(frozen=True)
class Tolerance:
    """How far interpolated values may be off.

    Attributes:
        share: Of the range of colours, or of the value.
        unit: ``colours``: a share of the range of the picture, logarithmic where pictures are. ``value``: a share of
            the value where a quantity varies by factors, else a difference.
    """

    share: float
    unit: Unit = "colours"


@dataclass(frozen=True)
class Ruler:
    """The distance of two values of a quantity, in tolerances.

    Attributes:
        is_log: Whether logarithms are compared.
        step: The tolerance in that scale.
        low: The lowest value it was made of.
        high: The highest.
    """

    is_log: bool
    step: float
    low: float
    high: float

    @classmethod
    def of(cls, quantity: Quantity, values: Array, tolerance: Tolerance) -> Ruler:
        """Return the ruler of a surface as its known values show it; of equal values it takes none for equal."""
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        by_factors = quantity.varies == "by factors" and low > 0
        if tolerance.unit == "value":
            share = np.log1p(tolerance.share) if by_factors else tolerance.share
            return cls(by_factors, float(share), low, high)
        is_log = by_factors and high > LOG_FROM * low
        span = float(np.log(high / low)) if is_log else high - low
        return cls(is_log, tolerance.share * span, low, high)

    def distance(self, one: Array, other: Array) -> Array:
        """Return how far apart values are, in tolerances; infinite where one of them is not finite.

        On a logarithmic scale values below 0 are not finite.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            apart = np.abs(np.log(one) - np.log(other)) if self.is_log else np.abs(one - other)
            found = apart / self.step if self.step > 0 else np.where(apart > 0, np.inf, 0.0)
        return np.where(np.isfinite(found), found, np.inf)

    def bar(self, values: Array, distance: Array) -> Array:
        """Return the half-width of an error bar, in the unit of the quantity, of values ``distance`` tolerances off."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.abs(values) * np.expm1(distance * self.step) if self.is_log else distance * self.step
