"""What a folder is good for: its file system, its locks, and how fast blocks are written into one file there."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

LOCKS = ("flock", "fcntl")  # the first keeps two jobs off one surface, the second is what MPI-IO uses
TAKEN = "taken"
HEADERS = 1 << 16  # bytes that HDF5 takes beside the values
PIECE = 1 << 19  # elements of 8 bytes, written at a time


@dataclass(frozen=True)
class FileSystem:
    """Where a folder lives.

    Attributes:
        kind: Its type as the kernel calls it: ``ext4``, ``nfs4``, ``lustre``, ...; ``"unknown"`` where that is hidden.
        source: The device or server.
        free: Bytes this user may still write.
    """

    kind: str
    source: str
    free: int


def file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> FileSystem:
    """Return where ``folder`` lives."""
    space = os.statvfs(folder)
    kind, source = _mount_of(folder.resolve(), mounts)
    return FileSystem(kind, source, space.f_bavail * space.f_frsize)


def _mount_of(folder: Path, mounts: Path) -> tuple[str, str]:
    r"""Return type and source of the mount with the longest path above ``folder``; of equal ones the last hides others.

    A line is ``36 35 98:0 /root /mount/point options - type source options``, with blanks as ``\040``.
    """
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return "unknown", "unknown"
    deepest, found = -1, ("unknown", "unknown")
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(_unescaped(before.split()[4]))
        if folder.is_relative_to(point) and len(point.parts) >= deepest:
            kind, source = after.split()[:2]
            deepest, found = len(point.parts), (kind, _unescaped(source))
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


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


def make_blocks(path: Path, rows: int, columns: int) -> None:
    """Make a file with a dataset ``(rows, columns)``, float64, that has its place in the file but no values yet.

    Raises:
        OSError: The file system refuses.
    """
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    # On a full disk HDF5 would crash as it closes the file: the system says before that there is space, and keeps it.
    _keep_space(path, 8 * rows * columns + HEADERS)
    path.unlink()
    with h5py.File(path, "x", locking=False) as file:
        space = h5py.h5s.create_simple((rows, columns))
        h5py.h5d.create(file.id, b"blocks", h5py.h5t.NATIVE_DOUBLE, space, properties)
    _keep_space(path, path.stat().st_size)


def _keep_space(path: Path, count: int) -> None:
    with path.open("ab") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, count)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # some file systems cannot
                raise


def write_blocks(path: Path, row: int, comm: Any = None) -> float:
    """Write a row of the dataset of :func:`make_blocks` as a run writes its results; return the seconds that took.

    They count from the open file until the file is closed and the system has put the data away.

    Collective where ``comm`` is given: all its ranks must call this, each with a row of its own.

    Raises:
        OSError: The file system refuses.
    """
    options = {} if comm is None else {"driver": "mpio", "comm": comm}
    piece = np.random.default_rng(0).random(PIECE)  # zeros might never reach the disk
    # By a ``with``, as all ranks come to its end: here nobody waits for anybody before.
    with h5py.File(path, "r+", locking=False, **options) as file:
        blocks = file["blocks"]
        columns = blocks.shape[1]
        began = time.perf_counter()
        for start in range(0, columns, PIECE):
            stop = min(start + PIECE, columns)
            blocks[row, start:stop] = piece[: stop - start]
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return time.perf_counter() - began
