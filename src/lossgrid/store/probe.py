"""How fast blocks are written into one file in a folder."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

HEADERS = 1 << 16  # bytes that HDF5 takes beside the values
PIECE = 1 << 19  # elements of 8 bytes, written at a time


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
