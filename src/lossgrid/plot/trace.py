"""What has one name in a picture of lines, and as many of its points as a picture can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossgrid.plot.words import missing
from lossgrid.surface import PENDING, Surface

Values = npt.NDArray[np.float64]
MOST_POINTS = 20_000  # of a line that are drawn one by one
BINS = 4_000  # of a line of more: several for each pixel
NEAR_OVERFLOW = 1e290
SMALLER = 2.0**-30  # more than the number of lines can be


@dataclass(frozen=True)
class Trace:
    """What has one name: a line, or several of the same alpha, drawn as their mean in the band of their range."""

    label: str
    surfaces: tuple[Surface, ...]

    @property
    def alpha(self) -> Values:
        """Coordinates, shape ``(n_alpha,)``, float64."""
        return self.surfaces[0].alpha

    def has(self, name: str) -> bool:
        """Tell whether all its lines have the quantity."""
        return all(name in surface.quantities for surface in self.surfaces)

    def values(self, name: str) -> Values:
        """Return the values of all lines, shape ``(n_lines, n_alpha)``, float64, NaN where one is not finite."""
        values = np.stack([surface[name] for surface in self.surfaces])
        return np.where(np.isfinite(values).all(axis=0), values, np.nan)

    def broken(self, name: str) -> npt.NDArray[np.bool_]:
        """Tell where the quantity has been computed and is not finite, shape ``(n_alpha,)``, bool."""
        found = [~np.isfinite(surface[name]) & (surface.status != PENDING) for surface in self.surfaces]
        return np.asarray(np.any(found, axis=0))

    def missing(self, names: Sequence[str]) -> str:
        """Count the points without a value, such as ``2 points not finite``; empty where there is none."""
        own = [name for name in names if self.has(name)]
        if len(self.surfaces) == 1 or not own:
            return missing(self.surfaces[0], own)
        unknown = np.any([np.isnan(self.values(name)[0]) for name in own], axis=0)
        count = int(np.count_nonzero(unknown))
        return f"{count} point{'s' if count != 1 else ''} not known of all" if count else ""


def mean_of(values: Values) -> Values:
    """Return the mean over the first axis, also where the sum is more than a float64 can be."""
    largest = np.abs(values[np.isfinite(values)]).max(initial=0.0)
    if largest < NEAR_OVERFLOW:
        return np.asarray(values.mean(axis=0))
    return np.asarray((values * SMALLER).mean(axis=0) / SMALLER)


def thinned(places: Values, *curves: Values) -> tuple[Values, ...]:
    """Return a line with no more points than a picture can show.

    Of a line of many points, what lies within a fraction of a pixel is drawn as its lowest and its highest point, so
    that no peak is lost. Gaps smaller than that close.

    Args:
        places: Rising, shape ``(n,)``, float64.
        *curves: Values at these places, each shape ``(n,)``, float64, NaN where there is none.

    Returns:
        Places and curves as they are, or with two points for each of ``BINS`` parts of the axis that has points.
    """
    if len(places) <= MOST_POINTS:
        return places, *curves
    starts = _starts(places)
    at = np.repeat(places[starts], 2)
    return at, *[np.stack([_lowest(curve, starts), -_lowest(-curve, starts)], axis=1).ravel() for curve in curves]


def thinned_marks(places: Values) -> Values:
    """Return rising places without those that would lie on each other."""
    return places if len(places) <= MOST_POINTS else places[_starts(places)]


def _starts(places: Values) -> npt.NDArray[np.intp]:
    """Return the first point of each part of the axis."""
    part = (places - places[0]) * (BINS / (places[-1] - places[0]))
    return np.flatnonzero(np.diff(part.astype(np.int64), prepend=-1))


def _lowest(curve: Values, starts: npt.NDArray[np.intp]) -> Values:
    lowest = np.minimum.reduceat(np.where(np.isnan(curve), np.inf, curve), starts)
    return np.where(np.isinf(lowest), np.nan, lowest)
