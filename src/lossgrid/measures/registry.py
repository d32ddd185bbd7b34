"""Measures by name: ``top5``, ``error``, ``ece``, or a user's as ``NAME=package.module:function``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from lossgrid import user_code
from lossgrid.errors import InputError
from lossgrid.measures.classes import Calibration, error, top
from lossgrid.measures.mean import Mean
from lossgrid.measures.measure import Measure
from lossgrid.measures.objective import Objective
from lossgrid.measures.users import of_function_or_object

BUILT_IN: dict[str, Callable[[], Measure]] = {"error": error, "ece": Calibration}
TOP = re.compile(r"top([1-9]\d{0,5})")
NAME = re.compile(r"[A-Za-z]\w{0,63}", re.ASCII)
TAKEN = ("loss", "accuracy")  # which every surface has where it can

Made = tuple[Measure, Objective | None]


def make(text: str) -> Made:
    """Return the measure that ``--metric`` names, and the objective by which a user's function can be checked.

    Raises:
        InputError: There is none of that name.
    """
    name, equals, reference = text.partition("=")
    if equals:
        return given(name, user_code.load(reference, role="metric"), reference)
    if found := TOP.fullmatch(name):
        return top(int(found[1])), None
    if name in BUILT_IN:
        return BUILT_IN[name](), None
    close = difflib.get_close_matches(name, [*BUILT_IN, "top5"], n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise InputError(
        f"--metric: expected {', '.join(BUILT_IN)}, top5 or another number, or NAME=package.module:function, got "
        f"{name!r}{hint}"
    )


def given(name: str, thing: Any, source: str) -> Made:
    """Return the measure that a user calls ``name``.

    Raises:
        InputError: The name cannot be that of a dataset, or is taken.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"--metric: expected a name of letters, digits and _, got {name!r}")
    if name in TAKEN or name in BUILT_IN or TOP.fullmatch(name) or name.endswith("_error"):
        raise InputError(f"--metric: the name {name} is taken; choose another one for {source}")
    return of_function_or_object(name, thing, source)


def bound(made: Made, model: nn.Module) -> Made:
    """Return the same measure, given ``model``, the network that moves, where its function has a parameter for it."""
    measure, objective = made
    if not isinstance(measure, Mean) or objective is None or not objective.takes_model:
        return made
    objective = objective.bound_to(model)
    return replace(measure, terms=objective.terms), objective
