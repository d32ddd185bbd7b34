"""A benchmark: the time to write blocks into one file in a folder."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

HEADERS = 1 << 16  # bytes that HDF5 uses in addition to the values
PIECE = 1 << 19  # float64 elements per write


def make_blocks(path: Path, rows: int, columns: int) -> None:
    """Create a file with a dataset ``(rows, columns)``, float64, allocated but without values.

    Raises:
        OSError: The file system refuses.
    """
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    # On a full disk HDF5 would crash as it closes the file: so the space is reserved first.
    _reserve_space(path, 8 * rows * columns + HEADERS)
    path.unlink()
    with h5py.File(path, "x", locking=False) as file:
        space = h5py.h5s.create_simple((rows, columns))
        h5py.h5d.create(file.id, b"blocks", h5py.h5t.NATIVE_DOUBLE, space, properties)
    _reserve_space(path, path.stat().st_size)


def _reserve_space(path: Path, count: int) -> None:
    with path.open("ab") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, count)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # some file systems cannot
                raise


def write_blocks(path: Path, row: int, comm: Any = None) -> float:
    """Write a row of the dataset of :func:`make_blocks` as a run does; return the seconds it took.

    The time starts when the file is open, and includes closing and fsync.

    Collective where ``comm`` is given: all its ranks must call this, each with a row of its own.

    Raises:
        OSError: The file system refuses.
    """
    options = {} if comm is None else {"driver": "mpio", "comm": comm}
    piece = np.random.default_rng(0).random(PIECE)  # zeros might never reach the disk
    # A ``with`` is safe: all ranks reach its end, as no collective lies within.
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
