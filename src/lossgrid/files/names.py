"""File names given by users: which names are impossible, and what a name refers to if it is no file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from lossgrid.errors import shown

NAME_MAX, PATH_MAX = 255, 4095  # bytes, as on Linux
PARTIAL = 30  # bytes: the name of an unfinished file is longer by this
KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def fault_of_name(path: Path, *, written: bool = False) -> str:
    """Return why ``path`` is an impossible name, for a file if it is to be ``written``; "" if it is possible.

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
    """Return the kind of a file of this mode, in words; "" for an ordinary file."""
    return next((name for test, name in KINDS if test(mode)), "")
