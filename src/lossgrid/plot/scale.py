"""Linear and logarithmic scales of axes and colour bars: transformation, clipping, round levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.colors import Normalize

from lossgrid.errors import InputError
from lossgrid.plot.levels import MOST_LEVELS, Levels, power_of, round_values, steps_evenly
from lossgrid.surface.quantity import LOG_FROM

LOG_NEVER_CLIPPED = 6.0  # decades that a logarithmic scale always shows
MOST_EXPONENT = 308  # of a float64
SMALLEST, LARGEST = 5e-324, float(np.finfo(np.float64).max)
FAR = 1e6  # times the range of the scale: values further off are moved to there, so that nothing overflows
LEVELS = 16
TICKS = 9


@dataclass(frozen=True)
class ScaleOptions:
    """The options of a scale; None is chosen by the values.

    Attributes:
        log: Whether the scale is logarithmic; None for logarithmic if losses differ by more than 30 times.
        vmin: Lowest value, in the unit of the quantity (accuracies are fractions).
        vmax: Highest value; None for one that leaves the centre readable.
        levels: Approximate number of contours, or their values; values are the limits too, where these are not given.
    """

    log: bool | None = None
    vmin: float | None = None
    vmax: float | None = None
    levels: Levels | None = None

    def __post_init__(self) -> None:
        for name, value in (("vmin", self.vmin), ("vmax", self.vmax)):
            if value is not None and not math.isfinite(value):
                raise InputError(f"--{name} must be a finite number, got {value}")
        if self.vmin is not None and self.vmax is not None and self.vmin >= self.vmax:
            raise InputError(f"--vmin must be below --vmax, got {self.vmin:g} and {self.vmax:g}")
        if self.log and any(value is not None and value <= 0 for value in (self.vmin, self.vmax)):
            raise InputError("--vmin and --vmax must be positive on a logarithmic scale; use --linear")
        if self.log and self.values and self.values[0] <= 0:
            raise InputError("--levels must be positive on a logarithmic scale; use --linear")
        if isinstance(self.levels, int) and self.levels < 1:
            raise InputError(f"--levels must be at least 1, got {self.levels}")
        count = self.levels if isinstance(self.levels, int) else len(self.values)
        if count > MOST_LEVELS:
            raise InputError(f"--levels must be at most {MOST_LEVELS}, which are closer than lines, got {count}")

    @property
    def values(self) -> tuple[float, ...]:
        """The values of the contours; empty where only their number is given."""
        return self.levels if isinstance(self.levels, tuple) else ()


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic scale.

    ``transform(v)`` is ``v / 10**power``, or log10(v) on a logarithmic scale; all drawing uses transformed values.

    Attributes:
        log: Whether the scale is logarithmic, of base 10.
        low: Lowest value shown, in the unit of the values.
        high: Highest value shown.
        below: Whether some values are lower than ``low``.
        above: Whether some values are higher than ``high``.
        levels: Round values from ``low`` to ``high``, or those of the user, shape ``(n_levels,)``, float64.
    """

    log: bool
    low: float
    high: float
    below: bool
    above: bool
    levels: npt.NDArray[np.float64]

    @property
    def power(self) -> int:
        """The power of ten that a linear scale divides values by; 0 but for extreme values."""
        return 0 if self.log else power_of(self.low, self.high)

    @property
    def is_plain(self) -> bool:
        """Whether matplotlib can draw the values themselves."""
        return power_of(self.low, self.low) == 0 == power_of(self.high, self.high) if self.log else self.power == 0

    def transform(self, values: npt.ArrayLike) -> Any:
        """Return transformed ``values``, a float64 masked array of the same shape, masked where not finite."""
        finite = np.ma.masked_invalid(np.asarray(values, dtype=np.float64))
        low, high = self.limits
        if self.log:
            floor = low - 3  # for zero, which has no logarithm, and for values below it
            logarithms = np.full(finite.shape, floor)
            np.log10(finite.data, out=logarithms, where=finite.filled(0.0) > 0)
            return np.ma.array(np.maximum(logarithms, floor), mask=finite.mask)
        span = high - low
        with np.errstate(over="ignore"):
            scaled = finite.filled(0.0) / 10.0**self.power
        return np.ma.array(np.clip(scaled, low - FAR * span, high + FAR * span), mask=finite.mask)

    @property
    def limits(self) -> tuple[float, float]:
        """Transformed ``low`` and ``high``."""
        if self.log:
            return math.log10(self.low), math.log10(self.high)
        return self.low / 10.0**self.power, self.high / 10.0**self.power

    @property
    def norm(self) -> Normalize:
        """The map from transformed values to 0..1."""
        return Normalize(*self.limits)

    @property
    def extend(self) -> Literal["neither", "min", "max", "both"]:
        """The ends beyond which there are values, as matplotlib's ``extend``."""
        if self.below:
            return "both" if self.above else "min"
        return "max" if self.above else "neither"

    def ticks(self, count: int = TICKS) -> npt.NDArray[np.float64]:
        """Return at most ``count`` round values to write at an axis, shape ``(n,)``, float64."""
        if len(self.levels) <= count:
            return self.levels
        return round_values(self.low, self.high, count, log=self.log)

    def value(self, transformed: float) -> float:
        """Return the value of a transformed one, limited to the range of float64."""
        if self.log:
            return float(10.0**transformed) if transformed < MOST_EXPONENT else LARGEST
        return float(np.clip(transformed * 10.0**self.power, -LARGEST, LARGEST)) if self.power else float(transformed)

    def write(self, transformed: float, _position: object = None) -> str:
        """Return the value of a transformed one as text, with enough digits to differ from its neighbours."""
        value = self.value(transformed)
        low, high = self.limits
        if not self.log and abs(transformed) < 1e-9 * (high - low):
            return "0"
        if 1e-3 <= abs(value) < 1e4:
            finest = high - low
            digits = 6 if self.log else max(4, math.ceil(math.log10(max(1.0, abs(value) / finest))) + 3)
            return f"{value:.{digits}g}"
        mantissa, exponent = f"{value:.2e}".split("e")
        factor = f"{float(mantissa):g}"
        power = f"10^{{{int(exponent)}}}"
        return f"${power}$" if factor == "1" else rf"${factor}\times{power}$"


def choose_scale(values: npt.NDArray[np.float64], options: ScaleOptions, *, by_factors: bool) -> Scale:
    """Return a scale on which the neighbourhood of the lowest values is readable.

    Args:
        values: All values to draw, any shape, float64; values that are not finite are ignored.
        options: What the user asked for.
        by_factors: Whether values vary by factors, as losses do; only then the default may be logarithmic or clipped.

    Raises:
        InputError: The options do not fit the values.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        finite = np.array([1.0, 2.0])  # a blank picture needs some scale
    least, most = float(finite.min()), float(finite.max())
    by_levels = options.values
    low = min([least, *by_levels]) if options.vmin is None else options.vmin
    high = max(by_levels, default=most) if options.vmax is None else options.vmax
    if (low > high) or (low == high and (options.vmin, options.vmax) != (None, None)):
        raise InputError(f"--vmin and --vmax leave nothing of the values, which are {least:g} to {most:g}")
    log = by_factors and low > 0 and high > LOG_FROM * low and not steps_evenly(by_levels)
    log = log if options.log is None else options.log
    if log and low <= 0:
        if not (finite > 0).any():
            raise InputError(f"a logarithmic scale needs positive values, the highest is {most:g}; use --linear")
        low = float(finite[finite > 0].min())
    if by_factors and options.vmax is None and not by_levels:
        high = min(high, _reach(finite, low, log=log))
    if math.isclose(low, high, rel_tol=1e-9):  # all equal
        low, high = _widened(low, high, log=log)
    levels = np.array([value for value in by_levels if low <= value <= high])
    if not levels.size:
        count = options.levels if isinstance(options.levels, int) else LEVELS
        levels = round_values(low, high, count, log=log)
    return Scale(log=log, low=low, high=high, below=least < low, above=most > high, levels=levels)


def _widened(low: float, high: float, *, log: bool) -> tuple[float, float]:
    """Return limits around equal values, within the range of float64."""
    if log:
        return max(low / 2, SMALLEST), min(high * 2, LARGEST)
    return max(low - (0.1 * abs(low) or 1.0), -LARGEST), min(high + (0.1 * abs(high) or 1.0), LARGEST)


def _reach(finite: npt.NDArray[np.float64], low: float, *, log: bool) -> float:
    """Return an upper limit that leaves colours for the centre if values far out are huge.

    The factors never clip a parabola. The floors never clip a plateau, for which quantiles are no measure.
    """
    quantile = float(np.quantile(finite, 0.5 if log else 0.25, method="lower"))
    if log:
        exponent = math.log10(low) + max(4 * (math.log10(max(quantile, low)) - math.log10(low)), LOG_NEVER_CLIPPED)
        reach = 10**exponent if exponent < MOST_EXPONENT else math.inf
    else:
        reach = max(low + 8 * (quantile - low), low * LOG_FROM)
    rounded = float(f"{reach:.2g}")
    return rounded if rounded > low else math.inf
