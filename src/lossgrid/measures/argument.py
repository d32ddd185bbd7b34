"""Arguments of built-in losses, ``--loss-arg K=V``: each is checked by a function that returns its value.

Such a function raises ValueError with the text of what it expected.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from lossgrid.errors import InputError, did_you_mean, shown

Argument = Callable[[Any], Any]
MOST_NUMBERS = 1_000_000  # entries of a list; a hostile file may have more


def checked(loss: str, known: Mapping[str, Argument], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a loss, each checked.

    Args:
        loss: The name of the loss, for errors.
        known: Its arguments by name.
        given: The user's.

    Raises:
        InputError: A name is unknown, or a value cannot be.
    """
    found = {}
    for name, value in given.items():
        if name not in known:
            hint = did_you_mean(str(name), known)
            takes = ", ".join(known) or "no arguments"
            raise InputError(f"--loss-arg: {loss} takes {takes}, got {shown(repr(name))}{hint}")
        try:
            found[name] = known[name](value)
        except ValueError as error:
            raise InputError(f"--loss-arg {name}: {error}, got {shown(repr(value))}") from None
    return found


def whole(value: Any) -> int:
    """Return a whole number of 64 bits."""
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError("expected a whole number such as -100")
    return value


def truth(value: Any) -> bool:
    """Return true or false."""
    if type(value) is not bool:
        raise ValueError("expected true or false")
    return value


def fraction(value: Any) -> float:
    """Return a number from 0 to 1."""
    if not (_is_number(value) and 0 <= value <= 1):
        raise ValueError("expected a number from 0 to 1")
    return float(value)


def above_zero(value: Any) -> float:
    """Return a finite number above 0."""
    if not (_is_number(value) and value > 0):
        raise ValueError("expected a finite number above 0")
    return float(value)


def weights(value: Any) -> tuple[float, ...]:
    """Return weights, finite and at least 0, one of them above 0."""
    is_list = isinstance(value, (list, tuple)) and 0 < len(value) <= MOST_NUMBERS
    if not (is_list and all(_is_number(one) and one >= 0 for one in value) and any(value)):
        raise ValueError("expected a list of numbers of at least 0, not all 0, such as [1.0,2.5]")
    return tuple(map(float, value))


def one_or_last(value: Any) -> int:
    """Return the dimension of the classes, 1 or -1."""
    if type(value) is not int or value not in (1, -1):
        raise ValueError("expected 1, or -1 for classes in the last dimension")
    return value


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number that float32 can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e38 and math.isfinite(value)
