"""Files a user names: names no file can have are refused, and only ordinary files are opened for reading."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from lossgrid.errors import InputError
from lossgrid.text import one_line

NAME_MAX, PATH_MAX = 255, 4095  # bytes, as on Linux
PARTIAL = 30  # bytes a file's name grows by while the file is being written
SHOWN = 600  # characters of a text an error shows
KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def shown(text: object) -> str:
    """Return a text of the user's as an error shows it: on one line, with most of what is long."""
    return one_line(str(text), SHOWN)


def fault_of_name(path: Path, *, written: bool = False) -> str:
    """Say why nothing can have the name ``path``, or, where it is to be ``written``, why no file can; else "".

    >>> fault_of_name(Path("a.h5"))
    ''
    >>> fault_of_name(Path("/"), written=True)
    "expected the name of a file, got '/'"
    """
    try:
        parts = [os.fsencode(part) for part in path.parts]
    except UnicodeEncodeError:
        return f"expected a path, got {shown(path)}, which holds characters no file name can have"
    if any(b"\0" in part for part in parts):
        return f"expected a path, got {shown(path)}, which holds a null character"
    longest = max((len(part) for part in parts), default=0)
    last = len(parts[-1]) + PARTIAL if parts and written else 0
    if max(longest, last) > NAME_MAX or sum(map(len, parts)) + len(parts) > PATH_MAX:
        limit = NAME_MAX - (PARTIAL if written else 0)
        return f"the name is too long: expected at most {limit} bytes, got {shown(path)}"
    if written and path.name in ("", ".."):
        return f"expected the name of a file, got {shown(str(path))!r}"
    return ""


def kind_of(mode: int) -> str:
    """Say what a file of this mode is where it is no ordinary one, else ""."""
    return next((name for test, name in KINDS if test(mode)), "")


def open_file(path: Path, *, what: str, expected: str = "expected a file") -> BinaryIO:
    """Open an ordinary file for reading; a pipe or a device, for which reading may never end, is refused.

    Args:
        path: The file.
        what: What it is for, as the error begins: ``"checkpoint"``.
        expected: How the error ends.

    Raises:
        InputError: It cannot be read, or is no ordinary file.
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
        InputError: It cannot be read, or is no ordinary file.
    """
    with open_file(path, what=what, expected=expected) as stream:
        try:
            return stream.read(most)
        except OSError as error:
            raise InputError(f"{what} {shown(path)} cannot be read: {error.strerror}; {expected}") from None
