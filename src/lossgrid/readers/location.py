"""The location of data: the text after the colon of ``--data``, as a path."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lossgrid.errors import InputError
from lossgrid.files import fault_of_name


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
