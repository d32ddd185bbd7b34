"""The surface file being made and written: structure once and serially, then raw values only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.grid import Grid, Segment
from lossgrid.store.schema import BOOKKEEPING, FORMAT, FORMAT_VERSION, Metric
from lossgrid.store.surface import DONE, NOT_FINITE


def now() -> str:
    """Return the time as ISO 8601 text in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def has_parallel_hdf5() -> bool:
    """Tell whether this h5py was built with MPI, so that all ranks can write one file."""
    return bool(h5py.get_config().mpi)


def hdf5_version() -> str:
    """Return the version of the HDF5 library in use."""
    return str(h5py.version.hdf5_version)


def create(
    path: Path,
    grid: Grid,
    metrics: Sequence[Metric],
    *,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Make the file of an empty surface, all points pending; it appears under its name only when it is whole.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set, or the file system refuses: no space, no permission.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with h5py.File(partial, "x", locking=False) as file:
            _build(file, grid, metrics, config=config, provenance=provenance)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        _publish(partial, path, overwrite=overwrite)
    except OSError as error:
        raise InputError(f"cannot make {path}: {' '.join(str(error).split())}") from None
    finally:
        with suppress(OSError):
            partial.unlink()


def _publish(partial: Path, path: Path, *, overwrite: bool) -> None:
    """Give the finished file its name, in one step, never over another file unless asked."""
    if overwrite:
        partial.replace(path)
        return
    try:
        os.link(partial, path)  # unlike rename, this fails where the name is taken
    except FileExistsError:
        raise InputError(f"--out: {path} appeared while the run was starting; start again to resume it") from None
    except OSError:  # a file system without hard links
        if path.exists():
            raise InputError(f"--out: {path} appeared while the run was starting; start again to resume it") from None
        partial.rename(path)


def _build(
    file: h5py.File,
    grid: Grid,
    metrics: Sequence[Metric],
    *,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    file.attrs["format"] = FORMAT
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["config"] = json.dumps(config)
    file.attrs["provenance"] = json.dumps(provenance)
    file.attrs["complete"] = 0
    file.attrs["created"] = now()
    file.attrs["finished"] = np.bytes_(" " * len(now()))  # of fixed length: finishing changes bytes, not the structure
    scales = []
    for name, axis in (("beta", grid.beta), ("alpha", grid.alpha)):
        if axis is not None:
            scale = file.create_dataset(name, data=axis.values())
            scale.make_scale(name)
            scale.attrs["long_name"] = f"{name}, the coordinate along {'delta' if name == 'alpha' else 'eta'}"
            scales.append(scale)
    for metric in metrics:
        dataset = _create_dataset(file, metric.name, grid.shape, np.float64, np.nan)
        dataset.attrs["units"] = metric.units
    for name, (dtype, fill) in BOOKKEEPING.items():
        dataset = _create_dataset(file, name, grid.shape, dtype, fill)
    file["seconds"].attrs["units"] = "s"
    for name in (*(metric.name for metric in metrics), *BOOKKEEPING):
        for dimension, scale in enumerate(scales):
            file[name].dims[dimension].attach_scale(scale)


def _create_dataset(file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any, fill: Any) -> h5py.Dataset:
    """Make a contiguous dataset whose space exists, filled, before any rank opens it in parallel."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)
    properties.set_fill_value(np.array(fill, dtype=dtype))
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(np.dtype(dtype)), space, properties)
    return file[name]


class SurfaceFile:
    """An existing surface file open for writing values: by this process alone, or by every rank of a communicator.

    With a communicator opening and closing are collective; writes are independent and of disjoint elements, values
    first and status last, so that a point marked done always holds its values.
    """

    def __init__(self, path: Path, metrics: Sequence[Metric], comm: Any = None) -> None:
        """Open ``path``; ``comm`` is an mpi4py communicator for the parallel driver, None for this process alone.

        Collective where ``comm`` is given: all its ranks must call this, with equal arguments.

        Raises:
            OSError: The file cannot be opened for writing.
        """
        if comm is None:
            self._file = h5py.File(path, "r+", locking=False)
        else:
            self._file = h5py.File(path, "r+", driver="mpio", comm=comm, locking=False)
        self._parallel = comm is not None
        # Kept handles: opening a dataset is a metadata operation, which parallel HDF5 wants of all ranks at once.
        self._metrics = [self._file[metric.name] for metric in metrics]
        self._seconds, self._rank, self._status = (self._file[name] for name in ("seconds", "rank", "status"))
        self._is_line = self._status.ndim == 1

    def write(self, segment: Segment, values: npt.NDArray[np.float64], *, rank: int) -> None:
        """Write the results of neighbouring points.

        Args:
            segment: The points.
            values: Shape ``(len(segment), n_metrics + 1)``, float64: the metrics in their order, then seconds.
            rank: Who computed them.

        Raises:
            OSError: The file system refuses the write.
        """
        columns = slice(segment.start, segment.stop)
        where = columns if self._is_line else (segment.row, columns)
        for dataset, column in zip(self._metrics, values.T, strict=False):
            dataset[where] = column
        self._seconds[where] = values[:, -1].astype(np.float32)
        self._rank[where] = np.full(len(segment), rank, dtype=np.int32)
        finite = np.isfinite(values[:, :-1]).all(axis=1)
        self._status[where] = np.where(finite, DONE, NOT_FINITE).astype(np.uint8)
        if not self._parallel:  # raw parallel writes go straight to the file system, and a flush would be collective
            self._file.flush()

    def close(self) -> None:
        """Close the file; collective where it was opened with a communicator."""
        self._file.close()


def finish(path: Path, *, rounding: Mapping[str, Any] | None = None) -> None:
    """Mark the surface complete; ``rounding`` says how far a lower precision is from float32, where it was one."""
    with h5py.File(path, "r+", locking=False) as file:
        if rounding is not None:
            file.attrs["rounding"] = json.dumps(rounding)
        file.attrs.modify("finished", np.bytes_(now()))
        file.attrs.modify("complete", 1)
