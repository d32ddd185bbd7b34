"""Room for surfaces: what is left of memory and disk, asked before anything is made."""

from __future__ import annotations

import math
import os
from pathlib import Path

from lossgrid.errors import InputError

SMALL = 1 << 20  # bytes: what needs no more is written without asking, and the system then says what it refuses
COPIES = 3  # of a surface that are in memory at once: as it is made, as it is read, as it is looked at
BOOKKEEPING_BYTES = 1 + 4 + 4  # a point: status, seconds, rank


def memory_left(meminfo: Path = Path("/proc/meminfo"), groups: Path = Path("/sys/fs/cgroup")) -> float:
    """Return the bytes of memory this process can still take, within the limits of the batch system."""
    left = [math.inf]
    if meminfo.is_file():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        left.append(1024 * float(fields["MemAvailable"].split()[0]))
    own = Path("/proc/self/cgroup")
    if own.is_file():
        path = own.read_text().strip().rpartition("::/")[2]
        for group in (groups / path, *(groups / path).parents):
            limit, used = group / "memory.max", group / "memory.current"
            if limit.is_file() and used.is_file() and limit.read_text().strip() != "max":
                left.append(float(limit.read_text()) - float(used.read_text()))
    return min(left)


def disk_left(folder: Path) -> float:
    """Return the bytes this user may still write in ``folder``.

    Raises:
        OSError: There is no such folder.
    """
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize if space.f_blocks else math.inf  # some file systems do not say


def refuse_too_large(path: Path, points: int, metrics: int) -> None:
    """Refuse a surface for which there is no room, before anything is made.

    Args:
        path: Where it will be.
        points: How many it has.
        metrics: How many values a point has.

    Raises:
        InputError: Memory or disk cannot hold it.
    """
    needed = points * (8 * metrics + BOOKKEEPING_BYTES)
    memory = memory_left()
    if COPIES * needed > memory:
        raise InputError(
            f"a surface of {points:,} points needs {of_bytes(COPIES * needed)} of memory, and {of_bytes(memory)} are "
            "left; give --alpha and --beta fewer points"
        )
    refuse_full_disk(path, needed, "give --alpha and --beta fewer points, or another --out")


def refuse_full_disk(path: Path, needed: float, remedy: str) -> None:
    """Refuse to begin a file of ``needed`` bytes that the disk cannot hold.

    Raises:
        InputError: It cannot; the text ends with ``remedy``.
    """
    try:
        left = disk_left(path.parent)
    except OSError as error:
        raise InputError(f"cannot make {path}: {error.strerror}") from None
    if needed > max(left, SMALL):
        raise InputError(f"{path} needs {of_bytes(needed)}, and its disk has {of_bytes(left)} left; {remedy}")


def of_bytes(count: float) -> str:
    """Write bytes for people.

    >>> of_bytes(4.2e10)
    '42 GB'
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"
