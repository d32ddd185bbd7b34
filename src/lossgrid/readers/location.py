"""The location of data: the text after the colon of ``--data``, as a path; what is found there, for errors."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from lossgrid import errors
from lossgrid.errors import InputError, shown
from lossgrid.files import fault_of_name

MOST_NAMES = 20  # names of files or arrays in an error


def path_of(location: str, *, data: str) -> Path:
    """Return the path of a location; ``~`` is the home folder.

    Args:
        location: The text after the colon.
        data: The form of ``--data``, for the error: ``"cifar10:FOLDER"``.

    Raises:
        InputError: No path can have this name.
    """
    path = Path(location)
    if fault := fault_of_name(path):
        raise InputError(f"--data {data}: {fault}")
    with suppress(RuntimeError):  # ~name of an unknown user
        path = path.expanduser()
    return path


def listed(names: Iterable[str]) -> str:
    """Return sorted names for an error, the first ``MOST_NAMES`` of them.

    >>> listed(["b", "a"]), listed([])
    ('a, b', 'none')
    """
    return shown(errors.listed(sorted(names), MOST_NAMES)) or "none"
