"""Functions of users, ``package.module:function``: finding one, calling it, its name in errors, its source's digest."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lossgrid.errors import InputError, in_short


def is_reference(name: str) -> bool:
    """Tell whether ``name`` points at a user's function rather than at an entry of a registry."""
    return ":" in name


def name_of(function: object) -> str:
    """Return what a function is called, an object by its class."""
    return getattr(function, "__qualname__", type(function).__qualname__)


def load(reference: str, *, role: str, method: str = "") -> Any:
    """Import the function that ``package.module:function`` names.

    Installed packages are searched first, the current folder last. The standard library is no place for a function of
    a run, and a text such as ``os:system`` in somebody's settings would run commands.

    Args:
        reference: Module and attribute, separated by one colon.
        role: What the function is for, for the error text: ``"model factory"``.
        method: An object that has a function of this name will do too.

    Returns:
        The function or the object.

    Raises:
        InputError: The module cannot be imported, holds no such callable, or is part of the standard library.
    """
    module_name, _, attribute = reference.partition(":")
    if not module_name or not attribute:
        raise InputError(f"{role}: expected package.module:function, got {reference!r}")
    if _is_standard(module_name):
        raise InputError(
            f"{role} {reference}: {module_name.partition('.')[0]} is a module of Python's standard library; give a "
            "function of your own, in a module of another name"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module_name), attribute, None)
        function = getattr(found, method, found) if method else found
    except (Exception, SystemExit) as error:
        raise InputError(f"{role} {reference}: importing {module_name} raised {describe(error)}") from error
    if not callable(function):
        raise InputError(f"{role} {reference}: {module_name} has no function {attribute!r}")
    home = _home(function)
    if _is_standard(home):
        raise InputError(
            f"{role} {reference}: this is {getattr(function, '__qualname__', attribute)} of {home}, of Python's "
            "standard library; give a function of your own"
        )
    return found


def _is_standard(module_name: str) -> bool:
    return module_name.partition(".")[0] in sys.stdlib_module_names


def _home(function: Any) -> str:
    """Return the module that defines what is called in the end: behind partial and methods, or the class of an object.

    A function without a module is that of an extension: then the object it belongs to tells.
    """
    while isinstance(function, (functools.partial, types.MethodType)):
        function = function.func if isinstance(function, functools.partial) else function.__func__
    module = getattr(function, "__module__", None)
    if module is None:
        owner = getattr(function, "__self__", None)
        module = getattr(owner, "__module__", None) or type(owner).__module__ if owner is not None else ""
    return str(module)


def call(function: Callable[..., Any], *args: Any, name: str, role: str, **kwargs: Any) -> Any:
    """Call a user's function; what it raises becomes an error that names it.

    Raises:
        InputError: The function raised.
    """
    try:
        return function(*args, **kwargs)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{role} {name} raised {describe(error)}") from error


def describe(error: BaseException) -> str:
    """Say what was raised and where, on one line: ``ValueError: bad shape (net.py:12)``."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = in_short(error)
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"


def source_digest(thing: Any) -> str | None:
    """Return the SHA-256, in hexadecimal, of the source that defines a function, a class or the class of an object.

    It is that of the whole file where there is one; in a notebook that of the function or class alone. None where no
    source can be found.
    """
    named = inspect.isroutine(thing) or inspect.isclass(thing)
    target = inspect.unwrap(thing) if named else type(thing)
    try:
        file = inspect.getsourcefile(target)
        if file is not None and Path(file).is_file():
            return hashlib.sha256(Path(file).read_bytes()).hexdigest()
        return hashlib.sha256(inspect.getsource(target).encode()).hexdigest()
    except (OSError, TypeError, ValueError):
        code = getattr(target, "__code__", None)
        return None if code is None else hashlib.sha256(code.co_code + repr(code.co_consts).encode()).hexdigest()
