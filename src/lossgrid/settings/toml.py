"""Settings as TOML for ``--config``; the standard library has no writer."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from lossgrid.errors import InputError

BARE = re.compile("[A-Za-z0-9_-]+")


def as_toml(settings: Mapping[str, Any]) -> str:
    """Return JSON types as TOML 1.0, a line per key, with inline tables; keys of None are left out.

    >>> print(as_toml({"model": "mlp", "beta": None, "model_arg": {"sizes": [8, 8], "a b": 1.0}}), end="")
    model = "mlp"
    model_arg = {sizes = [8, 8], "a b" = 1.0}

    Raises:
        InputError: TOML has no such value: null inside a value, or text that is not Unicode.
    """
    lines = []
    for key, value in settings.items():
        if value is not None:
            try:
                lines.append(f"{_key(key)} = {_value(value)}\n")
            except ValueError as error:
                raise InputError(f"{key} cannot be written as TOML: {error}") from None
    return "".join(lines)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)  # inf, -inf and nan are the same in both
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)} = {_value(inner)}' for key, inner in value.items())}}}"
    raise ValueError("it holds null" if value is None else f"it holds something of type {type(value).__name__}")


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    """Return a basic string: JSON has the same escapes, but does not escape DEL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it holds bytes that are no text") from None
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
