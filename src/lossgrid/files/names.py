"""Names of files a user gives: those no file can have, and what stands under a name where it is no file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from lossgrid.wording import one_line

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
