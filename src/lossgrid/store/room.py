"""Room for surfaces: checks of free memory and disk space before a file is made."""

from __future__ import annotations

from pathlib import Path

from lossgrid.errors import InputError
from lossgrid.machine.disks import disk_left
from lossgrid.machine.memory import shortage
from lossgrid.wording import of_bytes

SMALL = 1 << 20  # bytes: smaller files are written without this check; a full disk is then an error of the write
COPIES = 3  # of a surface in memory at once: while it is made, read and drawn
BOOKKEEPING_BYTES = 1 + 4 + 4  # per point: status, seconds, rank


def bytes_of_points(points: int, quantities: int) -> int:
    """Return the bytes of the points of a surface; the file has some ten kilobytes more about itself."""
    return points * ((8 + 4) * quantities + BOOKKEEPING_BYTES)  # each value with its standard error


def refuse_too_large(path: Path, points: int, quantities: int) -> None:
    """Raise InputError if a surface does not fit into memory or onto the disk.

    Args:
        path: The file to be written.
        points: Number of points.
        quantities: Number of values per point.

    Raises:
        InputError: Memory or disk is too small.
    """
    needed = bytes_of_points(points, quantities)
    if lack := shortage(COPIES * needed):
        raise InputError(f"a surface of {points:,} points takes {lack}; give --alpha and --beta fewer points")
    refuse_full_disk(path, needed, "give --alpha and --beta fewer points, or another --out")


def refuse_full_disk(path: Path, needed: float, remedy: str) -> None:
    """Raise InputError if the disk has no space for a file of ``needed`` bytes.

    Raises:
        InputError: It has none; the text ends with ``remedy``.
    """
    try:
        left = disk_left(path.parent)
    except OSError as error:
        raise InputError(f"cannot make {path}: {error.strerror}") from None
    if needed > max(left, SMALL):
        raise InputError(f"{path} needs {of_bytes(needed)}, and its disk has {of_bytes(left)} left; {remedy}")
