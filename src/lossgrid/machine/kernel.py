"""What the kernel tells in files, of which any may be missing, forbidden or strange: reading them never fails.

Modules of this room take the folder ``/`` as an argument, so that a computer can be made up in a folder.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

ROOT = Path("/")


def text_of(path: Path) -> str:
    """Return the text of a file, ``""`` where it cannot be read; bytes that are no text become U+FFFD."""
    with suppress(OSError, ValueError):  # ValueError: a path with a NUL
        return path.read_text(encoding="utf-8", errors="replace")
    return ""


def amount(text: str) -> float | None:
    """Return the number ``text`` holds, None for what is no finite number from 0 up, such as ``max`` or ``-1``."""
    with suppress(ValueError):
        number = float(text)
        return number if 0 <= number < math.inf else None
    return None


def fields_of(path: Path, separator: str | None = None) -> dict[str, str]:
    """Return a table of names and values, a line each, by the first of each name: ``name value``, ``name : value``."""
    fields: dict[str, str] = {}
    for line in text_of(path).splitlines():
        name, *rest = line.split(separator, 1) or [""]
        fields.setdefault(name.strip(), "".join(rest).strip())
    return fields
