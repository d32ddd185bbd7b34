"""Formats of users: ``package.module:name``, a function, or an object with an ending and a function."""

from __future__ import annotations

import glob
import inspect
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lossgrid import user_code
from lossgrid.errors import InputError
from lossgrid.formats.format import Format

ENDING = re.compile(r"[\w.-]*\.\w+|", re.ASCII)
ROLE = "format"


def given(reference: str) -> Format:
    """Return the format of the reference ``--to``.

    It is a function ``write(surface, path)``, or an object with ``write`` and ``ending``; a class is called. If
    ``takes_height`` is true, ``write`` also gets the :class:`~lossgrid.formats.heights.HeightOptions`.

    Raises:
        InputError: There is none, or it has other types.
    """
    thing = user_code.load(reference, role=ROLE, method="write")
    format: Format = user_code.call(_described, thing, reference, name=reference, role=ROLE)
    return format


def _described(thing: Any, reference: str) -> Format:
    made = thing() if inspect.isclass(thing) else thing
    write, ending = getattr(made, "write", made), getattr(made, "ending", "")
    if not callable(write):
        raise InputError(f"format {reference}: expected write(surface, path), or an object with ending and write")
    if not isinstance(ending, str) or not ENDING.fullmatch(ending):
        raise InputError(f"format {reference}: expected an ending such as .json, got {ending!r}")
    takes_height = getattr(made, "takes_height", False) is True
    return Format(reference, ending, "", partial(_write, write, reference), takes_height)


def _write(write: Callable[..., object], reference: str, surface: Any, path: Path, *options: Any) -> None:
    """Call a user's function that creates the file ``path``, and no other.

    Raises:
        InputError: The function raised, or created no file or several.
    """
    try:
        user_code.call(write, surface, path, *options, name=reference, role=ROLE)
        if path.is_symlink() or not path.is_file():
            raise InputError(f"format {reference} wrote no file at the path it was given; expected one there")
        if any(_beside(path)):
            raise InputError(f"format {reference} wrote more than one file; expected one, at the path it was given")
    finally:
        for one in [*_beside(path), *([path] if path.is_dir() else [])]:
            shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink()


def _beside(path: Path) -> Iterator[Path]:
    """Yield other files whose names begin like that of the unfinished file ``path``; the function created them."""
    begin = f"{path.name.partition('.partial')[0]}.partial"
    return (one for one in path.parent.glob(f"{glob.escape(begin)}*") if one != path)
