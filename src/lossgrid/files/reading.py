"""Opening files for reading: only ordinary files, as reading from a pipe or a device may never end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from lossgrid.errors import InputError, shown
from lossgrid.files.names import fault_of_name, kind_of


def open_file(path: Path, *, what: str, expected: str = "expected a file") -> BinaryIO:
    """Open an ordinary file for reading; refuse a pipe or a device, where reading may never end.

    Args:
        path: The file.
        what: The use of the file, the first words of the error: ``"checkpoint"``.
        expected: The last words of the error.

    Raises:
        InputError: The file cannot be read, or is no ordinary file.
    """
    fault = fault_of_name(path)
    if fault:
        raise InputError(f"{what}: {fault}; {expected}")
    try:
        # Without O_NONBLOCK, opening a pipe waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{what} {shown(path)} cannot be read: {error.strerror}; {expected}") from None
    kind = kind_of(os.fstat(descriptor).st_mode)
    if kind:
        os.close(descriptor)
        raise InputError(f"{what} {shown(path)} cannot be read: it is {kind}; {expected}")
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, *, most: int, what: str, expected: str = "expected a file") -> bytes:
    """Return the first ``most`` bytes of an ordinary file.

    Raises:
        InputError: The file cannot be read, or is no ordinary file.
    """
    with open_file(path, what=what, expected=expected) as stream:
        try:
            return stream.read(most)
        except OSError as error:
            raise InputError(f"{what} {shown(path)} cannot be read: {error.strerror}; {expected}") from None
