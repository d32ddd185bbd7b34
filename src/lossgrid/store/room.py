"""Room for surfaces: what is left of memory and disk, asked before anything is made."""

from __future__ import annotations

from pathlib import Path

from lossgrid.errors import InputError
from lossgrid.machine.disks import disk_left
from lossgrid.machine.memory import memory_left
from lossgrid.wording import of_bytes

SMALL = 1 << 20  # bytes: what needs no more is written without asking, and the system then says what it refuses
COPIES = 3  # of a surface that are in memory at once: as it is made, as it is read, as it is looked at
BOOKKEEPING_BYTES = 1 + 4 + 4  # a point: status, seconds, rank


def refuse_too_large(path: Path, points: int, metrics: int) -> None:
    """Refuse a surface for which there is no room, before anything is made.

    Args:
        path: Where it will be.
        points: How many it has.
        metrics: How many values a point has.

    Raises:
        InputError: Memory or disk cannot hold it.
    """
    needed = points * ((8 + 4) * metrics + BOOKKEEPING_BYTES)  # each with its error
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
