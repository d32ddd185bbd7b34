"""Layers of settings: a TOML file under the command line, put together and checked."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lossgrid.errors import InputError, in_short
from lossgrid.files import read_file, shown
from lossgrid.settings.complaint import in_one_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST_TOML = 2**24  # bytes

Settings = TypeVar("Settings", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """Read settings from a TOML file; dashes and underscores in keys are the same.

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
    except ValueError as error:  # of the text, its characters, its numbers
        raise InputError(f"--config: {shown(path)} is not TOML: {shown(in_short(error))}") from None
    return {key.replace("-", "_"): value for key, value in table.items()}


def read_value(text: str) -> Any:
    """Read ``V`` of ``--model-arg K=V`` as TOML would: number, true/false, list; anything else is text.

    So are the words of TOML that are more likely meant as such: ``inf``, ``nan``, dates, numbers with a comment.

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
    """Build the settings from ``layers``, the later ones winning key by key; arguments (``K=V``) are merged.

    Raises:
        InputError: A key is unknown, missing, or has a value it cannot have.
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
