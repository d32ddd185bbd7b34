"""Values at which a picture has contours and ticks: given by the user, or round."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import MaxNLocator

from lossgrid.errors import InputError, shown

Levels = int | tuple[float, ...]
MOST_LEVELS = 200
EVEN = 1e-6  # fraction of a step that steps of equal size may differ by
PLAIN = 100  # largest power of ten, up and down, of numbers that matplotlib draws safely
LEAST_POWER = -300  # smallest power of ten with the full precision of float64
SERIES: tuple[tuple[tuple[float, ...], int], ...] = (  # mantissas and the step of the exponent, dense to sparse
    ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), 1),
    ((1, 1.5, 2, 3, 5, 7), 1),
    ((1, 2, 5), 1),
    ((1, 3), 1),
    *(((1,), step) for step in (1, 2, 5, 10, 50, 100, 1000)),
)


def levels_of(given: str | int | Iterable[float]) -> Levels:
    """Return the levels of a text: a number of contours, their values, or a range with its step.

    >>> levels_of("12")
    12
    >>> levels_of("0.1,0.5,2")
    (0.1, 0.5, 2.0)
    >>> levels_of("1:2:0.5")
    (1.0, 1.5, 2.0)

    Raises:
        InputError: It is none of these, or the values do not rise.
    """
    if isinstance(given, int):
        return given
    try:
        found = _parsed(given) if isinstance(given, str) else tuple(float(value) for value in given)
    except InputError:
        raise
    except (ValueError, TypeError, OverflowError):
        raise InputError(
            f"--levels must be a number such as 12, values such as 0.5,1,2 or FIRST:LAST:STEP such as 0.1:10:0.5, "
            f"got {shown(given)}"
        ) from None
    if isinstance(found, int):
        return found
    if not found or not all(map(math.isfinite, found)) or any(b <= a for a, b in itertools.pairwise(found)):
        raise InputError(f"--levels must be finite values that rise, got {shown(given)}")
    return found


def _parsed(text: str) -> Levels:
    """Return the levels of a text.

    Raises:
        ValueError: It is no number, list or range.
    """
    if ":" in text:
        first, last, step = map(float, text.split(":"))
        count = math.floor((last - first) / step + EVEN) + 1 if step > 0 else 0
        if not 1 <= count <= MOST_LEVELS:
            raise InputError(f"--levels {text}: expected a step that gives 1 to {MOST_LEVELS} values, got {count:g}")
        return tuple(float(f"{first + i * step:.12g}") for i in range(count))
    return tuple(map(float, text.split(","))) if "," in text else int(text)


def steps_evenly(values: tuple[float, ...]) -> bool:
    """Return whether there are three values or more, one step apart from each other."""
    steps = np.diff(values)
    return len(steps) > 1 and bool(np.ptp(steps) <= EVEN * steps.max())


def power_of(low: float, high: float) -> int:
    """Return the power of ten by which numbers from ``low`` to ``high`` are divided for drawing; mostly 0."""
    most = max(abs(low), abs(high))
    power = math.floor(math.log10(most)) if most else 0
    return int(max(power, LEAST_POWER)) if abs(power) > PLAIN else 0


def round_values(low: float, high: float, count: int, *, log: bool) -> npt.NDArray[np.float64]:
    """Return about ``count`` round values, never more, between ``low`` and ``high``, shape ``(n,)``, float64."""
    inside = np.array([])
    if log and high > 5 * low:
        exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for mantissas, step in SERIES:
            series = np.array([float(f"{m}e{e}") for e in exponents if e % step == 0 for m in mantissas])
            inside = series[(series >= low) & (series <= high)]
            if len(inside) <= count:
                break
    else:
        unit = 10.0 ** power_of(low, high)
        locator = MaxNLocator(nbins=count, steps=[1, 2, 2.5, 5, 10])
        with np.errstate(over="ignore"):
            series = np.asarray(locator.tick_values(low / unit, high / unit)) * unit
        inside = np.unique(series[(series >= low) & (series <= high)])[:count]  # subnormal numbers may coincide
    if inside.size:
        return inside
    return np.array([math.sqrt(low) * math.sqrt(high) if log else low / 2 + high / 2])
