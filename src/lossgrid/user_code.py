"""Users' functions, ``package.module:function``: import, call, name in errors, digest of the source."""

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

OUT_OF_MEMORY = "OutOfMemoryError"  # of torch, which is not imported here


def is_reference(name: str) -> bool:
    """Return whether ``name`` refers to a user's function, not to an entry of a registry."""
    return ":" in name


def name_of(function: object) -> str:
    """Return the name of a function; for another object, that of its class."""
    return getattr(function, "__qualname__", type(function).__qualname__)


def load(reference: str, *, role: str, method: str = "") -> Any:
    """Import and return the function that ``package.module:function`` names.

    Installed packages are searched first, the current folder last. Functions of the standard library are refused: a
    text such as ``os:system`` in foreign settings would run commands.

    Args:
        reference: Module and attribute, separated by one colon.
        role: The role of the function in errors: ``"model factory"``.
        method: If given, an object with a method of this name is accepted too.

    Returns:
        The function or the object.

    Raises:
        InputError: The module cannot be imported, has no such callable, or is part of the standard library.
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
    """Return the module that defines a callable, within ``functools.partial`` and methods.

    A function without a module belongs to an extension: then it is the module of its object.
    """
    while isinstance(function, (functools.partial, types.MethodType)):
        function = function.func if isinstance(function, functools.partial) else function.__func__
    module = getattr(function, "__module__", None)
    if module is None:
        owner = getattr(function, "__self__", None)
        module = getattr(owner, "__module__", None) or type(owner).__module__ if owner is not None else ""
    return str(module)


def call(function: Callable[..., Any], *args: Any, name: str, role: str, **kwargs: Any) -> Any:
    """Return the result of a user's function; turn its exception into an InputError that names the function.

    Too little memory on the GPU is no fault of the function: PyTorch's error passes as it is.

    Raises:
        InputError: The function raised.
    """
    try:
        return function(*args, **kwargs)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        if type(error).__name__ == OUT_OF_MEMORY:
            raise
        raise InputError(f"{role} {name} raised {describe(error)}") from error


def describe(error: BaseException) -> str:
    """Return an exception and its origin on one line: ``ValueError: bad shape (net.py:12)``."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = in_short(error)
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"


def source_digest(thing: Any) -> str | None:
    """Return the SHA-256, in hexadecimal, of the source of a function, a class or the class of an object.

    The whole file is hashed if there is one; in a notebook, only the function or class. A function without source is
    hashed by its bytecode; None if there is neither.
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
