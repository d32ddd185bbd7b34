"""Errors of pydantic as one line about an option."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from lossgrid.errors import did_you_mean, shown

# Error type of pydantic -> text; fields in braces are of its ctx.
EXPECTED = {
    "literal_error": "expected {expected}",
    "string_type": "expected a text",
    "string_unicode": "expected a text of characters that can be written",
    "string_too_short": "expected a name",
    "path_type": "expected a path",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_parsing_size": "expected a whole number of fewer digits",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "greater_than_equal": "expected at least {ge}",
    "greater_than": "expected more than {gt}",
    "less_than_equal": "expected at most {le}",
    "less_than": "expected less than {lt}",
    "dict_type": "expected a table of K = V",
    "tuple_type": "expected a list",
    "too_long": "expected at most {max_length}",
    "too_short": "expected at least {min_length}",
}


def in_one_line(kind: type[BaseModel], error: ValidationError) -> str:
    """Return the first error as one line; an unknown key before a missing one, which it may be a misspelling of."""
    found = error.errors()
    first = next((fault for fault in found if fault["type"] == "extra_forbidden"), found[0])
    location = [str(part) for part in first["loc"] if not str(part).startswith("function-")]
    message = str(first["msg"]).removeprefix("Value error, ")
    if not location:
        return message
    if first["type"] == "extra_forbidden":
        return _unknown(kind, location[0], first["input"])
    key = location[0].replace("_", "-")
    if first["type"] == "missing":
        return f"--{key} is missing; see --help"
    if first["type"] == "value_error":
        return f"--{key}: {message}"
    return f"--{key}: {_expected(first)}, got {shown(repr(first['input']))}"


def _unknown(kind: type[BaseModel], key: str, value: Any) -> str:
    names = [name.replace("_", "-") for name in kind.model_fields]
    if isinstance(value, dict):
        hint = "; settings stand at the top, under no [table]"
    else:
        hint = did_you_mean(key.replace("_", "-"), names, form=repr) or "; see --help"
    return f"unknown key {shown(repr(key))}{hint}"


def _expected(fault: Mapping[str, Any]) -> str:
    text = EXPECTED.get(fault["type"])
    return str(fault["msg"]) if text is None else text.format(**fault.get("ctx", {}))
