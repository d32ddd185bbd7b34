"""The lines of one label in a picture, thinned to the resolution of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossgrid.plot.labels import missing
from lossgrid.surface import INTERPOLATED, PENDING, Surface

Values = npt.NDArray[np.float64]
MOST_POINTS = 20_000  # points of a line; longer lines are thinned
BINS = 4_000  # parts of a thinned line: several per pixel
NEAR_OVERFLOW = 1e290
MARKED = 16  # approximate number of markers on a line that is identified by its marker
LARGEST = float(np.finfo(np.float64).max)
SMALLER = 2.0**-30  # a factor before summing: exact, and enough for 2^30 lines


@dataclass(frozen=True)
class Trace:
    """The lines of one label: one, or several of the same alpha, drawn as their mean in the band of their range."""

    label: str
    surfaces: tuple[Surface, ...]

    @property
    def alpha(self) -> Values:
        """Coordinates, shape ``(n_alpha,)``, float64."""
        return self.surfaces[0].alpha

    def has(self, name: str) -> bool:
        """Return whether all lines have the quantity."""
        return all(name in surface.quantities for surface in self.surfaces)

    def values(self, name: str) -> Values:
        """Return the values of all lines, shape ``(n_lines, n_alpha)``, float64, NaN where any is not finite."""
        values = np.stack([surface[name] for surface in self.surfaces])
        return np.where(np.isfinite(values).all(axis=0), values, np.nan)

    def band(self, name: str) -> tuple[Values, Values]:
        """Return the lowest and the highest values with their error bars, each shape ``(n_alpha,)``, float64."""
        values, bars = self.values(name), np.stack([_bars(surface, name) for surface in self.surfaces])
        with np.errstate(over="ignore"):
            low, high = (values - bars).min(axis=0), (values + bars).max(axis=0)
        return np.maximum(low, -LARGEST), np.minimum(high, LARGEST)

    @property
    def interpolated(self) -> npt.NDArray[np.bool_]:
        """Where a value of any line is interpolated, shape ``(n_alpha,)``, bool."""
        return np.asarray(np.any([surface.status == INTERPOLATED for surface in self.surfaces], axis=0))

    @property
    def has_band(self) -> bool:
        """Whether there is more to draw than one line: several, or error bars."""
        return len(self.surfaces) > 1 or bool(self.interpolated.any())

    def broken(self, name: str) -> npt.NDArray[np.bool_]:
        """Return where the quantity was computed and is not finite, shape ``(n_alpha,)``, bool."""
        found = [~np.isfinite(surface[name]) & (surface.status != PENDING) for surface in self.surfaces]
        return np.asarray(np.any(found, axis=0))

    def missing(self, names: Sequence[str]) -> str:
        """Return how many points have no value, such as ``2 points not finite``; empty if none."""
        own = [name for name in names if self.has(name)]
        if len(self.surfaces) == 1 or not own:
            return missing(self.surfaces[0], own)
        unknown = np.any([np.isnan(self.values(name)[0]) for name in own], axis=0)
        count = int(np.count_nonzero(unknown))
        return f"{count} point{'s' if count != 1 else ''} not known of all" if count else ""


def _bars(surface: Surface, name: str) -> Values:
    """Return the half-widths of the error bars of a line; 0 where there are none."""
    return np.nan_to_num(surface.bars.get(name, np.zeros(surface.shape)).astype(np.float64), nan=0.0, posinf=LARGEST)


def mean_of(values: Values) -> Values:
    """Return the mean over the first axis, also where the sum overflows float64."""
    largest = np.abs(values[np.isfinite(values)]).max(initial=0.0)
    if largest < NEAR_OVERFLOW:
        return np.asarray(values.mean(axis=0))
    return np.asarray((values * SMALLER).mean(axis=0) / SMALLER)


def thinned(coordinates: Values, *curves: Values) -> tuple[Values, ...]:
    """Return a line with no more points than a picture shows.

    A long line has two points in each fraction of a pixel: the lowest and the highest, so that no peak is lost.
    Smaller gaps close.

    Args:
        coordinates: Rising, shape ``(n,)``, float64.
        *curves: Values at these coordinates, each shape ``(n,)``, float64, NaN for none.

    Returns:
        Coordinates and curves, unchanged or with two points for each of ``BINS`` parts of the axis that has points.
    """
    if len(coordinates) <= MOST_POINTS:
        return coordinates, *curves
    starts = _starts(coordinates)
    at = np.repeat(coordinates[starts], 2)
    return at, *[np.stack([_lowest(curve, starts), -_lowest(-curve, starts)], axis=1).ravel() for curve in curves]


def thinned_marks(coordinates: Values) -> Values:
    """Return rising coordinates, thinned to one for each part of the axis if there are many."""
    return coordinates if len(coordinates) <= MOST_POINTS else coordinates[_starts(coordinates)]


def few_of(values: npt.NDArray[np.float64], *, regular: bool) -> list[int]:
    """Return the indices of the points to mark: those between two gaps, and if ``regular`` about ``MARKED`` others."""
    finite = np.pad(np.isfinite(values), 1)
    marked = finite[1:-1] & ~finite[:-2] & ~finite[2:]
    if regular:
        marked |= np.arange(len(values)) % max(1, round(len(values) / MARKED)) == 0
    return [int(i) for i in np.flatnonzero(marked)]


def _starts(coordinates: Values) -> npt.NDArray[np.intp]:
    """Return the index of the first point of each part of the axis, shape ``(n_parts,)``."""
    part = (coordinates - coordinates[0]) * (BINS / (coordinates[-1] - coordinates[0]))
    return np.flatnonzero(np.diff(part.astype(np.int64), prepend=-1))


def _lowest(curve: Values, starts: npt.NDArray[np.intp]) -> Values:
    lowest = np.minimum.reduceat(np.where(np.isnan(curve), np.inf, curve), starts)
    return np.where(np.isinf(lowest), np.nan, lowest)
