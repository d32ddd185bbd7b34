"""Reading the kernel's files in /proc and /sys: a missing, forbidden or malformed file is never an error.

Modules of this room take the folder ``/`` as an argument, so that a test can imitate a computer in a folder.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

ROOT = Path("/")


def text_of(path: Path) -> str:
    """Return the text of a file, ``""`` if it cannot be read; bytes that are no UTF-8 become U+FFFD."""
    with suppress(OSError, ValueError):  # ValueError: a path with a NUL
        return path.read_text(encoding="utf-8", errors="replace")
    return ""


def running_kernel(root: Path = ROOT) -> str:
    """Return what tells the kernels of nodes apart, ``""`` if unknown; containers of a node have the same."""
    return text_of(root / "proc/sys/kernel/random/boot_id").strip()


def amount(text: str) -> float | None:
    """Return the number in ``text``; None if it is not finite and at least 0, such as ``max`` or ``-1``."""
    with suppress(ValueError):
        number = float(text)
        return number if 0 <= number < math.inf else None
    return None


def fields_of(path: Path, separator: str | None = None) -> dict[str, str]:
    """Return name -> value of a file with lines ``name value`` or ``name : value``; of equal names the first counts."""
    fields: dict[str, str] = {}
    for line in text_of(path).splitlines():
        name, *rest = line.split(separator, 1) or [""]
        fields.setdefault(name.strip(), "".join(rest).strip())
    return fields
