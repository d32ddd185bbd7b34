"""Functions users name as ``package.module:function``: finding them, calling them, naming them in errors."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lossgrid.errors import InputError, in_short


def is_reference(name: str) -> bool:
    """Tell whether ``name`` points at a user's function rather than at an entry of a registry."""
    return ":" in name


def load(reference: str, *, role: str) -> Callable[..., Any]:
    """Import the function that ``package.module:function`` names; the current folder is searched first.

    Args:
        reference: Module and attribute, separated by one colon.
        role: What the function is for, for the error text: ``"model factory"``.

    Raises:
        InputError: The module cannot be imported or holds no such callable.
    """
    module_name, _, attribute = reference.partition(":")
    if not module_name or not attribute:
        raise InputError(f"{role}: expected package.module:function, got {reference!r}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise InputError(f"{role} {reference}: importing {module_name} raised {describe(error)}") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise InputError(f"{role} {reference}: {module_name} has no function {attribute!r}")
    return function  # type: ignore[no-any-return]


def call(function: Callable[..., Any], *args: Any, name: str, role: str, **kwargs: Any) -> Any:
    """Call a user's function; what it raises becomes an error that names it.

    Raises:
        InputError: The function raised.
    """
    try:
        return function(*args, **kwargs)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{role} {name} raised {describe(error)}") from error


def describe(error: BaseException) -> str:
    """Say what was raised and where, on one line: ``ValueError: bad shape (net.py:12)``."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = in_short(error)
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"
