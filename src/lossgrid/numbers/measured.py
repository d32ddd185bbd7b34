"""All numbers of one surface, as ``lossgrid compare`` prints them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lossgrid.numbers.basin import Level, area, sharpness, width
from lossgrid.numbers.envelope import convexity
from lossgrid.numbers.landscape import Bound, centre, of_surface
from lossgrid.numbers.persistence import THRESHOLD, Minimum, minima, persistent
from lossgrid.numbers.variation import negative_curvature, roughness
from lossgrid.surface import Quantity, Surface
from lossgrid.wording import one_line


@dataclass(frozen=True)
class Number:
    """One number of one surface.

    Attributes:
        key: Its name in JSON and CSV.
        words: Its name in the table.
        value: None where it does not exist, such as a multiple of a loss of 0.
        is_lower: Whether it is only a lower bound.
        is_share: Whether it is written in per cent.
    """

    key: str
    words: str
    value: float | int | None
    is_lower: bool = False
    is_share: bool = False

    def __str__(self) -> str:
        if self.value is None:
            return "-"
        if isinstance(self.value, int):
            text = str(self.value)
        else:
            text = f"{100 * self.value:.3g} %" if self.is_share else f"{self.value:.4g}"
        return f">= {text}" if self.is_lower else text


@dataclass(frozen=True)
class Measured:
    """What has been measured of one surface.

    Attributes:
        label: Its name.
        file: Where it was read from.
        shape: ``(n_beta, n_alpha)``, or ``(n_alpha,)`` for a line.
        numbers: The same for all surfaces of a comparison.
        minima: The most persistent local minima.
        notes: What limits the trust in the surface.
    """

    label: str
    file: str
    shape: tuple[int, ...]
    numbers: list[Number]
    minima: list[Minimum]
    notes: list[str]


def measure(
    surface: Surface, name: str, *, radius: float, levels: Sequence[Level], vmax: float | None = None
) -> tuple[list[Number], list[Minimum]]:
    """Return the numbers of a surface, and its most persistent minima; docs/metrics.md defines them.

    Raises:
        InputError: The surface has no such quantity or no known value at its centre, or its grid is too small.
    """
    land = of_surface(surface, name, vmax=vmax)
    what = one_line(_turned(surface.quantities[name]))
    numbers = [
        Number("points", "points", int(land.values.size)),
        Number("left_out", "points left out", land.left_out),
        _number("centre", f"{what} at the centre", Bound(centre(land), is_lower=False)),
        _number("sharpness", f"sharpness, radius {radius:g}", sharpness(land, radius)),
    ]
    for level in levels:
        where = f"at {level} the centre" if level.factor > 1 else f"at centre {level}"
        widths: tuple[Bound | None, ...] = width(land, level) or (None, None)
        if land.is_line:
            numbers.append(_number(f"width_{level}", f"width {where}", widths[0]))
        else:
            numbers += [
                _number(f"width_{axis}_{level}", f"width along {axis} {where}", width)
                for axis, width in zip(("alpha", "beta"), widths, strict=True)
            ]
            numbers.append(_number(f"area_{level}", f"area {where}", area(land, level)))
    bent, _ = negative_curvature(land)
    deviation = convexity(land)
    found = persistent(minima(land), land)
    numbers += [
        _number("roughness", "roughness (variation / range)", Bound(roughness(land), is_lower=False)),
        Number("negative_curvature", "negative curvature", None if math.isnan(bent) else bent, is_share=True),
        Number("convexity_mean", "deviation from convexity, mean", deviation.mean, is_share=True),
        Number("convexity_largest", "deviation from convexity, largest", deviation.largest, is_share=True),
        Number("minima", f"local minima of persistence >= {100 * THRESHOLD:g} %", len(found)),
        Number("minima_on_border", "of these at the border", sum(minimum.on_border for minimum in found)),
    ]
    return numbers, found


def _turned(quantity: Quantity) -> str:
    """Name what a landscape is of, where lower is better: an accuracy became an error."""
    words = quantity.name.replace("_", " ")
    if quantity.better == "lower":
        return words
    return words.replace("accuracy", "error") if quantity.kind == "accuracy" else f"what {words} lacks of the best"


def _number(key: str, words: str, bound: Bound | None) -> Number:
    """Return a number; one that is more than a float64 can be is as unknown as one that does not exist."""
    if bound is None or not math.isfinite(bound.value):
        return Number(key, words, None)
    return Number(key, words, bound.value, is_lower=bound.is_lower)
