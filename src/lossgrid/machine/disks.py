"""Disks: the file system of a folder, its free space, and whether its locks work."""

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

LOCKS = ("flock", "fcntl")  # flock keeps a second job off a surface; MPI-IO uses fcntl
TAKEN = "taken"


def disk_left(folder: Path) -> float:
    """Return the bytes that this user may still write in ``folder``; infinite if the file system does not report it.

    Raises:
        OSError: There is no such folder.
    """
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize if space.f_blocks else math.inf  # some file systems report no size


@dataclass(frozen=True)
class FileSystem:
    """The file system of a folder.

    Attributes:
        kind: Its type in the kernel: ``ext4``, ``nfs4``, ``lustre``, ...; ``"unknown"`` if it is hidden.
        source: The device or server.
        free: Bytes that this user may still write; infinite if the file system does not report it.
    """

    kind: str
    source: str
    free: float


def file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> FileSystem:
    """Return the file system of ``folder``."""
    kind, source = _mount_of(folder.resolve(), mounts)
    return FileSystem(kind, source, disk_left(folder))


def _mount_of(folder: Path, mounts: Path) -> tuple[str, str]:
    """Return type and source of the deepest mount above ``folder``; of several at one path, the last counts."""
    deepest, found = -1, ("unknown", "unknown")
    for mount in read_mounts(mounts):
        if folder.is_relative_to(mount.point) and len(mount.point.parts) >= deepest:
            deepest, found = len(mount.point.parts), (mount.kind, mount.source)
    return found


@contextmanager
def lock_tried(path: Path, kind: str) -> Iterator[str | None]:
    """Try to hold an exclusive lock on the file ``path`` while the block runs.

    Args:
        path: The file; created if it is missing.
        kind: One of ``LOCKS``.

    Yields:
        None if the lock is held, ``TAKEN`` if another process holds it, else why locking fails.
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
