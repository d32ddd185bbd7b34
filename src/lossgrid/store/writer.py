"""The surface file being written: raw values only, by one process or by all ranks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lossgrid.errors import RankError, in_short
from lossgrid.store.identity import identify
from lossgrid.surface import DONE, NOT_FINITE, Quantity, Work

LOOK_SECONDS = 2.0


class SurfaceFile:
    """An existing surface file open for writing values: by this process alone, or by every rank of a communicator.

    With a communicator opening and closing are collective; writes are independent and of disjoint elements, values
    first and status last, so that a point marked done always holds its values.
    """

    def __init__(self, path: Path, quantities: Sequence[Quantity], comm: Any = None) -> None:
        """Open ``path``; ``comm`` is an mpi4py communicator for the parallel driver, None for this process alone.

        Collective where ``comm`` is given: all its ranks must call this, with equal arguments.

        Raises:
            OSError: The file cannot be opened for writing.
        """
        if comm is None:
            self._file = h5py.File(path, "r+", locking=False)
        else:
            self._file = h5py.File(path, "r+", driver="mpio", comm=comm, locking=False)
        self._parallel, self._path, self._looked = comm is not None, path, time.monotonic()
        self._identity = identify(path, bytes(self._file.attrs.get("id", b"")).decode())
        # Kept handles: opening a dataset is a metadata operation, which parallel HDF5 wants of all ranks at once.
        self._datasets = [self._file[quantity.name] for quantity in quantities]
        self._seconds, self._rank, self._status = (self._file[name] for name in ("seconds", "rank", "status"))
        self._is_line = self._status.ndim == 1

    def write(self, work: Work, values: npt.NDArray[np.float64], *, rank: int) -> None:
        """Write the results of points of a row.

        Args:
            work: The points.
            values: Shape ``(len(work), n_quantities + 1)``, float64: the quantities in their order, then seconds.
            rank: Who computed them.

        Raises:
            RankError: The file system refuses the write.
        """
        try:
            self._write(work, values, rank=rank)
        except OSError as error:
            raise RankError(f"cannot write {self._path}: {in_short(error)}") from error

    def _write(self, work: Work, values: npt.NDArray[np.float64], *, rank: int) -> None:
        columns = slice(work.start, work.stop, work.step)
        where = columns if self._is_line else (work.row, columns)
        for dataset, column in zip(self._datasets, values.T, strict=False):
            dataset[where] = column
        self._seconds[where] = values[:, -1].astype(np.float32)
        self._rank[where] = np.full(len(work), rank, dtype=np.int32)
        finite = np.isfinite(values[:, :-1]).all(axis=1)
        self._status[where] = np.where(finite, DONE, NOT_FINITE).astype(np.uint8)
        if not self._parallel:  # raw parallel writes go straight to the file system, and a flush would be collective
            self._file.flush()

    def look(self) -> None:
        """Make sure, every few seconds, that the name still belongs to this file: writing goes on regardless.

        Raises:
            RankError: It was moved, deleted, replaced, cut or written over.
        """
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        self._identity.verify()

    def close(self) -> None:
        """Close the file; collective where it was opened with a communicator."""
        self._file.close()
