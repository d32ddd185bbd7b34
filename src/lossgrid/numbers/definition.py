"""The socket of numbers: name, function, source and unit of a number of a surface."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import Any, Literal, TypeVar

from lossgrid.errors import InputError, shown
from lossgrid.numbers.landscape import Bound, Landscape
from lossgrid.numbers.level import Level
from lossgrid.surface import Quantity, Surface

Value = float | Bound | None
Part = TypeVar("Part")

SHARE = "share"  # the unit of fractions, which are shown in per cent


@dataclass(frozen=True)
class Subject:
    """The argument of a number: a surface, a quantity, a radius and a level.

    Attributes:
        surface: The surface, with read-only arrays.
        quantity: The measured quantity.
        land: The values of that quantity, so that lower is better.
        radius: Radius around the centre, in lengths of the directions.
        level: The height above the centre; None in a number of the whole surface.
        stored: The results of :meth:`once`.
    """

    surface: Surface
    quantity: Quantity
    land: Landscape
    radius: float
    level: Level | None = None
    stored: dict[Callable[[Landscape], Any], Any] = field(default_factory=dict, repr=False)

    @property
    def asked_level(self) -> Level:
        """The level, in a number of each level.

        Raises:
            InputError: The number is one of the whole surface.
        """
        if self.level is None:
            raise InputError("a number of the whole surface has no level; define it with per_level=True")
        return self.level

    @property
    def what(self) -> str:
        """The name of the values of the landscape, where lower is better: an accuracy became an error."""
        text = self.quantity.name.replace("_", " ")
        if self.quantity.better == "higher":
            is_accuracy = self.quantity.kind == "accuracy"
            text = text.replace("accuracy", "error") if is_accuracy else f"what {text} lacks of the best"
        return shown(text)

    def once(self, function: Callable[[Landscape], Part]) -> Part:
        """Return ``function(land)``, computed once for all numbers that need it."""
        if function not in self.stored:
            self.stored[function] = function(self.land)
        found: Part = self.stored[function]
        return found


@dataclass(frozen=True)
class Number:
    """One number of one surface.

    Attributes:
        key: Its name in JSON and CSV.
        label: Its name in the table.
        value: None if it does not exist, such as the width at a multiple of a loss of 0.
        is_lower: Whether it is a lower bound.
        is_share: Whether it is shown in per cent.
        interval: Its least and its largest value, as far as the error bars of interpolated values allow; the largest is
            None if there is no limit. None for no interval.
    """

    key: str
    label: str
    value: float | int | None
    is_lower: bool = False
    is_share: bool = False
    interval: tuple[float, float | None] | None = None

    def __str__(self) -> str:
        if self.value is None:
            return "-"
        text = f">= {self._shown(self.value)}" if self.is_lower else self._shown(self.value)
        if self.interval is None:
            return text
        low, high = self.interval
        return (
            f"{text} (>= {self._shown(low)})" if high is None else f"{text} ({self._shown(low)} to {self._shown(high)})"
        )

    def _shown(self, value: float) -> str:
        if isinstance(value, int):
            return str(value)
        return f"{100 * value:.3g} %" if self.is_share else f"{value:.4g}"

    def between(self, one: Number, other: Number) -> Number:
        """Return it with the interval between two numbers; without one if these are not all there."""
        ends = [end.value for end in (self, one, other) if end.value is not None]
        if len(ends) < 3:
            return self
        bounded = not (self.is_lower or one.is_lower or other.is_lower)
        return replace(self, interval=(min(ends), max(ends) if bounded else None))


@dataclass(frozen=True)
class Definition:
    """A number of a surface.

    Attributes:
        key: Its name in JSON and CSV, with the fields ``{level}`` and ``{radius}``.
        label: Its name in the table, also with the fields ``{where}``, the level as text, and ``{what}``, the quantity.
        take: The function of a :class:`Subject`; returns a number, a :class:`Bound`, or None for no number.
        source: The source of the definition, such as ``Dinh et al. 2017``.
        units: The unit; ``share`` is shown in per cent, ``L`` is the unit of the quantity.
        grids: The grids that have this number.
        per_level: Whether there is one for each level.
        is_monotone: Whether it only rises, or only falls, where any value but that of the centre rises; then error bars
            of values give it an interval.
    """

    key: str
    label: str
    take: Callable[[Subject], Value]
    source: str = ""
    units: str = "1"
    grids: Literal["all", "line", "plane"] = "all"
    per_level: bool = False
    is_monotone: bool = False

    def __post_init__(self) -> None:
        """Refuse a definition that cannot be used.

        Raises:
            InputError: Key or label is no text or has other fields, or ``take`` is no function.
        """
        try:
            names = [self.key.format(**_EXAMPLE), self.label.format(**_EXAMPLE)]
        except (AttributeError, LookupError, TypeError, ValueError):
            names = []
        if not names or names != [shown(name) for name in names] or not all(names):
            raise InputError(
                f"number {shown(str(self.key))}: expected key and label on one line, with no fields but "
                f"{', '.join(f'{{{name}}}' for name in _EXAMPLE)}"
            )
        if self.per_level and "{level}" not in self.key:
            raise InputError(f"number {self.key}: expected {{level}} in the key of a number of each level")
        if not callable(self.take) or self.grids not in ("all", "line", "plane"):
            raise InputError(f"number {self.key}: expected a function in take, and all, line or plane in grids")

    def fits(self, land: Landscape) -> bool:
        """Return whether such a grid has this number."""
        return self.grids == "all" or (self.grids == "line") == land.is_line

    def keys(self, radius: float, levels: Sequence[Level]) -> list[str]:
        """Return its names in JSON and CSV: one, or one per level."""
        return [self.key.format(**_named(radius, level)) for level in (levels if self.per_level else [None])]

    def __call__(self, subject: Subject) -> Number:
        """Return the number of ``subject``.

        Raises:
            InputError: The function returned no number, or the surface has none.
        """
        found = self.take(subject)
        bound = found if isinstance(found, Bound) else Bound(found, is_lower=False)  # type: ignore[arg-type]
        names = _named(subject.radius, subject.level, subject.what)
        key, label = self.key.format(**names), self.label.format(**names)
        value = _number(bound.value, key)
        return Number(key, label, value, bound.is_lower and value is not None, self.units == SHARE)


def _named(radius: float, level: Level | None, what: str = "") -> dict[str, Any]:
    """Return the fields of key and label."""
    return {"radius": f"{radius:g}", "level": level, "where": "" if level is None else level.label, "what": what}


_EXAMPLE = _named(0.5, Level(factor=2), "train loss")


def _number(found: Any, key: str) -> float | int | None:
    """Return a number as int or float of Python; None if it is not finite or overflows float64.

    Raises:
        InputError: It is no real number.
    """
    if found is None:
        return None
    if getattr(found, "shape", None) == () and hasattr(found, "item"):
        found = found.item()  # arrays of NumPy and torch without axes
    if not isinstance(found, Real) or isinstance(found, bool):
        raise InputError(f"number {key}: expected one real number or None, got {type(found).__name__}")
    try:
        value = float(found)
    except OverflowError:
        return None
    if not math.isfinite(value):
        return None
    return int(found) if isinstance(found, Integral) else value
