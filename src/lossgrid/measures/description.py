"""What the values of a user's step mean: their names, and units, better side and bounds, as attributes of the step."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lossgrid.errors import InputError, did_you_mean, shown
from lossgrid.measures.objective import Terms, as_number
from lossgrid.surface import Quantity, quantity
from lossgrid.surface.quantity import ERROR, Better, from_json

LOSS = "loss"
NAME = re.compile(r"[A-Za-z]\w{0,63}", re.ASCII)
# Names that mean fractions in every surface, and which side is better.
FRACTIONS: tuple[tuple[str, Better], ...] = ((r"accuracy|top[1-9]\d{0,5}", "higher"), ("error|ece", "lower"))
ATTRIBUTES = ("units", "better", "bounds", "varies")
SLACK = 1e-6  # beyond a bound, by round-off


def described(function: Any, step: str, attribute: str) -> Mapping[str, Any]:
    """Return an attribute of a step, values by name; empty if it has none.

    Raises:
        InputError: The attribute is no dict.
    """
    found = getattr(function, attribute, {})
    if not isinstance(found, Mapping):
        raise InputError(
            f"step {step}: expected a dict by name as attribute {attribute!r}, such as {{'accuracy': ...}}, got "
            f"{type(found).__name__}"
        )
    return found


def meaning(function: Any, step: str, name: str, split: str) -> Quantity:
    """Return the quantity of a value: as the attributes of the step say, else as is usual for its name.

    Raises:
        InputError: An attribute has a value that it cannot have.
    """
    told = {key: own[name] for key in ATTRIBUTES if name in (own := described(function, step, key))}
    try:
        return from_json(_usual(name, split).as_json() | told)
    except ValueError as error:
        raise InputError(f"step {step}: {error}") from None


def _usual(name: str, split: str) -> Quantity:
    """Return a fraction for names such as ``accuracy``; else a value that varies by factors, as parts of losses do."""
    for pattern, better in FRACTIONS:
        if re.fullmatch(pattern, name):
            return quantity.fraction(split, name, better)
    return replace(quantity.loss(split), name=f"{split}_{name}", kind=name)


def refuse_names(function: Any, step: str, names: Sequence[Any]) -> None:
    """Refuse values without a loss, names that no dataset can have, and descriptions of other names.

    Raises:
        InputError: There is one; the text names it.
    """
    if LOSS not in names:
        given = ", ".join(map(str, names)) or "none"
        raise InputError(f"step {step}: expected 'loss' among the names of its values, got {shown(given)}")
    for name in names:
        if not isinstance(name, str) or not NAME.fullmatch(name) or name.endswith(ERROR):
            raise InputError(
                f"step {step}: expected names of letters, digits and _, without {ERROR} at the end, got "
                f"{shown(repr(name))}"
            )
    for attribute in ATTRIBUTES:
        for name in described(function, step, attribute):
            if name not in names:
                hint = did_you_mean(str(name), names)
                raise InputError(
                    f"step {step}: attribute {attribute!r} describes {shown(repr(name))}, which it does not "
                    f"return{hint}"
                )
            if name == LOSS and attribute != "units":
                raise InputError(
                    f"step {step}: attribute {attribute!r} cannot describe 'loss', which is better where it is lower; "
                    "return the value under another name too"
                )


def refuse_values_out_of_bounds(function: Any, step: str, split: str, values: Mapping[str, Terms]) -> None:
    """Refuse a batch whose mean of a value is outside its bounds, such as an accuracy in per cent; or of weight < 0.

    Raises:
        InputError: There is one; the text names it.
    """
    for name, (terms, weight) in values.items():
        low, high = meaning(function, step, name, split).bounds
        divisor = float(as_number(weight, terms))
        if divisor < 0:
            raise InputError(f"step {step}: expected a weight of at least 0 of {name}, got {divisor:g}")
        mean = float(terms.double().sum()) / divisor if divisor else 0.0
        if (low is not None and mean < low - SLACK) or (high is not None and mean > high + SLACK):
            raise InputError(
                f"step {step}: expected {name} from {low} to {high}, got {mean:.6g}; return it so, or under "
                "another name"
            )
