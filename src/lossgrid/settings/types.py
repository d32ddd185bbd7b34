"""The types of settings: conversion and validation of command-line texts and TOML values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from lossgrid.errors import shown
from lossgrid.files import fault_of_name
from lossgrid.surface import Axis

MOST = 2**63 - 1  # the largest integer of torch
LONGEST = 200  # characters of MIN:MAX:N, of a pattern and of a label
DEEPEST = 20  # nested lists and tables of an argument


def _read_axis(value: object) -> object:
    if isinstance(value, (list, tuple)) and len(value) == 3:
        value = ":".join(map(str, value))
    if isinstance(value, Axis):
        return value
    if isinstance(value, str) and len(value) <= LONGEST:
        return Axis.parse(value)
    raise ValueError(f"expected MIN:MAX:N such as -1:1:51, got {shown(repr(value))}")


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    return value


def _read_batch_size(value: object) -> object:
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 20 else value
    if number == "auto" or (isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= MOST):
        return number
    raise ValueError(f"expected auto or a number of at least 1, got {shown(repr(value))}")


def _check_path(path: Path) -> Path:
    if fault := fault_of_name(path):
        raise ValueError(fault)
    return path


def _check_written(path: Path) -> Path:
    if fault := fault_of_name(path, written=True):
        raise ValueError(fault)
    return path


def _check_arguments(value: object) -> object:
    if _is_deep(value, DEEPEST):
        raise ValueError(f"expected at most {DEEPEST} lists and tables within each other, got more")
    return value


def _is_deep(value: object, left: int) -> bool:
    if not isinstance(value, (dict, list, tuple)):
        return False
    return left == 0 or any(_is_deep(part, left - 1) for part in (value.values() if isinstance(value, dict) else value))


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str | Path) else value


Commas = BeforeValidator(_split_commas)
Repeated = BeforeValidator(_as_tuple)
Pattern = Annotated[str, Field(min_length=1, max_length=LONGEST)]
Label = Annotated[str, Field(min_length=1, max_length=LONGEST)]
BatchSize = Annotated[int | Literal["auto"], BeforeValidator(_read_batch_size)]
ReadPath = Annotated[Path, AfterValidator(_check_path)]
Paths = Annotated[tuple[ReadPath, ...], BeforeValidator(_as_tuple)]
WrittenPath = Annotated[Path, AfterValidator(_check_written)]
Arguments = Annotated[dict[str, Any], BeforeValidator(_check_arguments)]
AxisSetting = Annotated[Axis, BeforeValidator(_read_axis), PlainSerializer(str, return_type=str)]
