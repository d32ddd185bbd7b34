"""Caveats of a surface: random weights, rounding beyond the limit, wrong values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lossgrid.surface.quantity import Quantity
from lossgrid.surface.surface import Surface
from lossgrid.wording import one_line

WEIGHTS = {
    "random": "random weights: no checkpoint was given",
    "factory": "weights as the model factory made them: no checkpoint was given",
}
MOST = 160  # characters of a phrase
NAME = 40  # characters of a name in it


def caveats_of(surface: Surface) -> list[str]:
    """Return short phrases that limit the trust in ``surface``, each one line; empty if there are none.

    They come from the file. Entries of other types than a run writes are ignored.
    """
    weights, differs = surface.origin.weights, surface.origin.differs
    found = [WEIGHTS[weights]] if weights in WEIGHTS else []
    if isinstance(surface.rounding, Mapping) and surface.rounding.get("beyond") is True:
        found.append(_rounding(surface.rounding, surface.quantities))
    if surface.interpolated:
        found.append(_interpolated(surface))
    if differs is not None and differs.strip():
        found.append(differs)
    return [one_line(text, MOST) for text in found]


def _interpolated(surface: Surface) -> str:
    """Return how many points are interpolated and how many of them are wrong at most, in the quantity with most."""
    parts = f"{surface.interpolated:,} of {surface.status.size:,} points interpolated"
    told = surface.refinement
    steering = [name for name, one in surface.quantities.items() if one.varies == "by factors"] or surface.quantities
    counts = [] if told is None else [told.most_wrong[name] for name in steering if name in told.most_wrong]
    if told is None or not counts:
        return f"{parts}, not audited"
    share = 100 * min(1.0, max(counts) / surface.interpolated)
    return f"{parts}, at most {share:.2g} % of them off by more than {told.limit} ({100 * told.confidence:.3g} % sure)"


def _rounding(rounding: Mapping[str, Any], quantities: Mapping[str, Quantity]) -> str:
    """Return the quantities that differ from float32 by more than the limit, and by how much, as text."""
    precision, largest, limit = rounding.get("precision"), rounding.get("largest"), _number(rounding.get("limit"))
    differences = {name: _number(value) for name, value in largest.items()} if isinstance(largest, Mapping) else {}
    shares = {name: value for name, value in differences.items() if value is not None}
    beyond = {name: value for name, value in shares.items() if limit is None or not value <= limit} or shares
    parts = [
        f"{one_line(name, NAME).replace('_', ' ')} {_amount(quantities.get(name), value)}"
        for name, value in beyond.items()
    ]
    arithmetic = one_line(precision, NAME) if isinstance(precision, str) else "the lower precision"
    what = f"{', '.join(parts)} from float32" if parts else "differs from float32"
    return f"{arithmetic}: {what}, beyond " + ("what is allowed" if limit is None else f"the {_percent(limit)} allowed")


def _number(value: Any) -> float | None:
    """Return the absolute value of a JSON number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return abs(float(value))
    except OverflowError:  # an integer of hundreds of digits
        return math.inf


def _amount(quantity: Quantity | None, value: float) -> str:
    """Return a difference as text: relative if the quantity varies by factors, in percentage points for fractions."""
    if not math.isfinite(value):
        return "infinitely far"
    if quantity is not None and quantity.varies == "by differences":
        return f"up to {100 * value:.2g} points" if quantity.is_share else f"up to {value:.3g}"
    return f"up to {_percent(value)}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
