"""Axes of pictures: coordinates along alpha and beta, divided by a power of ten where matplotlib would overflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.plot.levels import power_of
from lossgrid.surface import Surface
from lossgrid.surface.grid import SAME_COORDINATE

Values = npt.NDArray[np.float64]
TOLERANCE = 1e-9  # fraction of the largest coordinate: smaller differences are invisible
SINGLE = 1e-3  # half width of a single cell, as a fraction of its coordinate; at least 0.5


@dataclass(frozen=True)
class DrawnAxis:
    """The coordinates of an axis of a picture.

    Attributes:
        name: Such as "alpha".
        coordinates: Coordinates divided by ``10**power``, shape ``(n,)``, float64.
        power: Exponent of the divisor; mostly 0.
    """

    name: str
    coordinates: Values
    power: int

    @property
    def label(self) -> str:
        """The label of the axis, with mathtext for matplotlib."""
        return self.name + (rf" / $10^{{{self.power}}}$" if self.power else "")

    @property
    def limits(self) -> tuple[float, float]:
        """First and last coordinate."""
        return float(self.coordinates[0]), float(self.coordinates[-1])

    @property
    def holds_zero(self) -> bool:
        """Whether the axis contains 0."""
        return bool(self.coordinates[0] <= 0 <= self.coordinates[-1])


def drawn_axis(coordinates: Values, name: str, *, power: int | None = None) -> DrawnAxis:
    """Return the axis of rising ``coordinates``, divided by ``10**power``; by default by the power they need."""
    power = power_of(coordinates[0], coordinates[-1]) if power is None else power
    return DrawnAxis(name, coordinates / 10.0**power, power)


def are_alike(one: Values, other: Values) -> bool:
    """Return whether two axes have the same coordinates, within ``TOLERANCE``."""
    if len(one) != len(other):
        return False
    return bool((np.abs(one / 2 - other / 2) <= TOLERANCE * np.abs(one / 2).max()).all())


def edges(coordinates: Values) -> Values:
    """Return the borders of the cells around ``coordinates``, shape ``(n + 1,)``; a single cell is one unit wide."""
    if len(coordinates) == 1:
        half = max(0.5, SINGLE * abs(float(coordinates[0])))
        return np.array([coordinates[0] - half, coordinates[0] + half])
    middles = (coordinates[:-1] + coordinates[1:]) / 2
    first, last = 2 * coordinates[0] - middles[0], 2 * coordinates[-1] - middles[-1]
    return np.concatenate([[first], middles, [last]])


def refuse_coordinates(surfaces: Sequence[Surface]) -> None:
    """Refuse surfaces whose axes cannot be drawn.

    Raises:
        InputError: An axis has no point, does not rise, or is shorter than the round-off of its coordinates.
    """
    for surface in surfaces:
        for name, axis in (("alpha", surface.alpha), ("beta", surface.beta)):
            if axis is None:
                continue
            if not (axis.size and np.isfinite(axis).all() and (axis[1:] > axis[:-1]).all()):
                raise InputError(f"{_file(surface)}{name} must be finite numbers that rise; the file holds others")
            if axis.size > 1 and axis[-1] / 2 - axis[0] / 2 <= SAME_COORDINATE * np.abs(axis / 2).max():
                first, last = float(axis[0]), float(axis[-1])
                raise InputError(
                    f"{_file(surface)}{name} goes from {first!r} to {last!r}, no further than rounding; "
                    "compute a longer range"
                )


def _file(surface: Surface) -> str:
    return "" if surface.path is None else f"{surface.path}: "
