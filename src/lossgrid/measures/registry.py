"""Metrics by name: ``top5``, ``error``, ``ece``, or a user's as ``NAME=package.module:function``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lossgrid import user_code
from lossgrid.errors import InputError, did_you_mean
from lossgrid.measures.classes import Calibration, error, top
from lossgrid.measures.measure import Measure
from lossgrid.measures.metric import Metric
from lossgrid.measures.users import of_function_or_object
from lossgrid.surface.quantity import ERROR

BUILT_IN: dict[str, Callable[[], Measure]] = {"error": error, "ece": Calibration}
TOP = re.compile(r"top([1-9]\d{0,5})")
NAME = re.compile(r"[A-Za-z]\w{0,63}", re.ASCII)
TAKEN = ("loss", "accuracy")  # the names of what every run measures where it can


def make_metric(text: str) -> Metric:
    """Return the metric that ``--metric`` names.

    Raises:
        InputError: The name is unknown, or the user's function cannot be loaded.
    """
    name, equals, reference = text.partition("=")
    if equals:
        return users_metric(name, user_code.load(reference, role="metric"), reference)
    if found := TOP.fullmatch(name):
        return Metric(top(int(found[1])))
    if name in BUILT_IN:
        return Metric(BUILT_IN[name]())
    hint = did_you_mean(name, [*BUILT_IN, "top5"])
    raise InputError(
        f"--metric: expected {', '.join(BUILT_IN)}, top5 or another number, or NAME=package.module:function, got "
        f"{name!r}{hint}"
    )


def users_metric(name: str, given: Any, source: str) -> Metric:
    """Return the metric of a user's function or object under the name ``name``.

    Args:
        name: The user's name for it, a part of the name of its dataset.
        given: The function or object; see :func:`lossgrid.measures.users.of_function_or_object`.
        source: Its name in errors.

    Raises:
        InputError: The name cannot be part of a dataset's name, or is taken; or ``given`` is neither.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"--metric: expected a name of letters, digits and _, got {name!r}")
    if name in TAKEN or name in BUILT_IN or TOP.fullmatch(name) or name.endswith(ERROR):
        raise InputError(f"--metric: {name} is a name of lossgrid's own; choose another one for {source}")
    return of_function_or_object(name, given, source)
