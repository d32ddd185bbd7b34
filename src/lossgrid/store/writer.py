"""Writing values into a surface file: raw data only, by one process or by all ranks."""

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
from lossgrid.surface import DONE, NOT_FINITE, Quantity, Results
from lossgrid.surface.quantity import error_of, sampled_of

LOOK_SECONDS = 2.0  # between two checks of the file's identity


class SurfaceFile:
    """An existing surface file open for writing values: by this process alone, or by every rank of a communicator.

    With a communicator, opening and closing are collective. Writes are independent and of disjoint elements: values
    first, status last, so a point that is marked done always has its values.
    """

    def __init__(self, path: Path, quantities: Sequence[Quantity], comm: Any = None) -> None:
        """Open ``path``; ``comm`` is an mpi4py communicator for the parallel driver, None for this process alone.

        Collective if ``comm`` is given: all its ranks must call this, with equal arguments.

        Raises:
            OSError: The file cannot be opened for writing.
        """
        if comm is None:
            self._file = h5py.File(path, "r+", locking=False)
        else:
            self._file = h5py.File(path, "r+", driver="mpio", comm=comm, locking=False)
        self._parallel, self._path, self._looked = comm is not None, path, time.monotonic()
        self._identity = identify(path, bytes(self._file.attrs.get("id", b"")).decode())
        # Handles stay open: opening a dataset is a metadata operation, which parallel HDF5 makes collective.
        self._datasets = [self._file[quantity.name] for quantity in quantities]
        self._sampled = [self._file[sampled_of(one.name)] for one in quantities if sampled_of(one.name) in self._file]
        self._errors = [self._file.get(error_of(quantity.name)) for quantity in quantities]  # older files have none
        self._seconds, self._rank, self._status = (self._file[name] for name in ("seconds", "rank", "status"))
        self._is_line = self._status.ndim == 1

    def write(self, results: Results, *, rank: int) -> None:
        """Write the results of points of a row.

        Args:
            results: The points and their values.
            rank: The rank that computed them.

        Raises:
            RankError: The file system refuses the write.
        """
        try:
            self._write(results, rank=rank)
        except OSError as error:
            raise RankError(f"cannot write {self._path}: {in_short(error)}") from error

    def _write(self, results: Results, *, rank: int) -> None:
        work = results.work
        columns = slice(work.start, work.stop, work.step)
        where = columns if self._is_line else (work.row, columns)
        count = len(self._datasets)
        for dataset, column in zip(self._sampled, results.values.T[count:], strict=False):
            dataset[where] = column
        self._seconds[where] = results.seconds.astype(np.float32)
        self._rank[where] = np.full(len(work), rank, dtype=np.int32)
        if work.samples:  # no values on all samples, so the points stay pending
            self._flush()
            return
        for dataset, column in zip(self._datasets, results.values.T[:count], strict=True):
            dataset[where] = column
        for dataset, column in zip(self._errors, results.errors.T[:count], strict=True):
            if dataset is not None:
                dataset[where] = _as_float32(column)
        finite = np.isfinite(results.values[:, :count]).all(axis=1)
        self._status[where] = np.where(finite, DONE, NOT_FINITE).astype(np.uint8)
        self._flush()

    def _flush(self) -> None:
        if not self._parallel:  # raw parallel writes go straight to the file system, and a flush would be collective
            self._file.flush()

    def look(self) -> None:
        """Check, every ``LOOK_SECONDS``, that the name still belongs to this file: writes alone would not notice.

        Raises:
            RankError: The file was moved, deleted, replaced, truncated or overwritten.
        """
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        self._identity.verify()

    def close(self) -> None:
        """Close the file; collective if it was opened with a communicator."""
        self._file.close()


def _as_float32(errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):  # beyond the range of float32 a standard error becomes infinite
        return errors.astype(np.float32)
