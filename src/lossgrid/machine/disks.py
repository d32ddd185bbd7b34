"""Disks: which file system a folder is on, what it has left, and whether its locks work."""

from __future__ import annotations

import errno
import fcntl
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lossgrid.machine.mounts import read_mounts

LOCKS = ("flock", "fcntl")  # the first keeps two jobs off one surface, the second is what MPI-IO uses
TAKEN = "taken"


def disk_left(folder: Path) -> float:
    """Return the bytes this user may still write in ``folder``.

    Raises:
        OSError: There is no such folder.
    """
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize if space.f_blocks else math.inf  # some file systems do not say


@dataclass(frozen=True)
class FileSystem:
    """Where a folder lives.

    Attributes:
        kind: Its type as the kernel calls it: ``ext4``, ``nfs4``, ``lustre``, ...; ``"unknown"`` where that is hidden.
        source: The device or server.
        free: Bytes this user may still write; infinite where the file system does not tell.
    """

    kind: str
    source: str
    free: float


def file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> FileSystem:
    """Return where ``folder`` lives."""
    kind, source = _mount_of(folder.resolve(), mounts)
    return FileSystem(kind, source, disk_left(folder))


def _mount_of(folder: Path, mounts: Path) -> tuple[str, str]:
    """Return type and source of the deepest mount above ``folder``; of several at one place the last hides others."""
    deepest, found = -1, ("unknown", "unknown")
    for mount in read_mounts(mounts):
        if folder.is_relative_to(mount.point) and len(mount.point.parts) >= deepest:
            deepest, found = len(mount.point.parts), (mount.kind, mount.source)
    return found


@contextmanager
def lock_tried(path: Path, kind: str) -> Iterator[str | None]:
    """Try to hold an exclusive lock on the file ``path`` while the block runs.

    Args:
        path: The file; made where it is missing.
        kind: One of ``LOCKS``.

    Returns:
        None where the lock is held, ``TAKEN`` where somebody else holds it, else why it cannot be taken.
    """
    take = fcntl.flock if kind == "flock" else fcntl.lockf
    descriptor, outcome = -1, None
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        take(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        outcome = TAKEN if error.errno in (errno.EAGAIN, errno.EACCES) else str(error.strerror)
    try:
        yield outcome
    finally:
        if descriptor >= 0:
            os.close(descriptor)
