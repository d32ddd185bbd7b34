"""Layers of settings: a TOML file below the command line, merged and validated."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lossgrid.errors import InputError, in_short, shown
from lossgrid.files import read_file
from lossgrid.settings.complaint import in_one_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST_TOML = 2**24  # bytes

Settings = TypeVar("Settings", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the settings in a TOML file; dashes and underscores in keys are equal.

    Raises:
        InputError: The file cannot be read or is not TOML.
    """
    content = read_file(path, most=LARGEST_TOML + 1, what="--config:")
    if len(content) > LARGEST_TOML:
        raise InputError(f"--config: {shown(path)} is no file of settings: it has more than {LARGEST_TOML} bytes")
    try:
        table = tomllib.loads(content.decode())
    except RecursionError:
        raise InputError(f"--config: {shown(path)} is not TOML of settings: it has too many brackets") from None
    except ValueError as error:  # bad syntax, bad UTF-8, or a number with too many digits
        raise InputError(f"--config: {shown(path)} is not TOML: {shown(in_short(error))}") from None
    return {key.replace("-", "_"): value for key, value in table.items()}


def read_value(text: str) -> Any:
    """Return ``V`` of ``--model-arg K=V``, read as TOML: number, true/false, list; anything else is text.

    ``inf``, ``nan``, dates and numbers with a comment are text too: users more likely mean names.

    >>> read_value("3"), read_value("[8, 8]"), read_value("inf"), read_value("1#2")
    (3, [8, 8], 'inf', '1#2')
    """
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = table["value"]
    if isinstance(value, (bool, int, float)):
        return value if len(table) == 1 and "#" not in text and math.isfinite(value) else text
    return value if len(table) == 1 and isinstance(value, (str, list, dict)) else text


def resolve(kind: type[Settings], *layers: Mapping[str, Any]) -> Settings:
    """Return the settings of ``layers``; later layers win key by key, arguments (``K=V``) are merged.

    Raises:
        InputError: A key is unknown, missing, or has an invalid value.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            merged[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    try:
        return kind(**merged)
    except ValidationError as error:
        raise InputError(in_one_line(kind, error)) from None
