"""The surface file being made and written: structure once and serially, then raw values only."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError, RankError, in_short
from lossgrid.grid import Grid, Segment
from lossgrid.store import sessions
from lossgrid.store.schema import BOOKKEEPING, FORMAT, FORMAT_VERSION, Metric
from lossgrid.store.sessions import Session
from lossgrid.store.surface import DONE, NOT_FINITE, Surface

LOOK_SECONDS = 2.0


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
    axes = {"beta": grid.beta, "alpha": grid.alpha}
    coordinates = {name: axis.values() for name, axis in axes.items() if axis is not None}
    with _appearing(path, overwrite=overwrite) as file:
        _build(file, coordinates, metrics, config=config, provenance=provenance)


def save(path: Path, surface: Surface, *, overwrite: bool = False) -> None:
    """Write a whole surface, whatever its coordinates; the file appears under its name only when it is whole.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set, or the file system refuses: no space, no permission.
    """
    axes = {"beta": surface.beta, "alpha": surface.alpha}
    coordinates = {name: values for name, values in axes.items() if values is not None}
    metrics = [Metric(name, surface.units.get(name, "")) for name in surface.metrics]
    bookkeeping = {name: getattr(surface, name) for name in BOOKKEEPING}
    with _appearing(path, overwrite=overwrite) as file:
        _build(file, coordinates, metrics, config=surface.config, provenance=surface.provenance)
        for name, array in {**surface.metrics, **bookkeeping}.items():
            file[name][...] = array
        file.attrs["created"] = surface.created
        file.attrs.modify("sessions", np.bytes_(sessions.write(surface.sessions)))
        if surface.rounding is not None:
            file.attrs["rounding"] = json.dumps(surface.rounding)
        if surface.finished is not None:
            file.attrs.modify("finished", np.bytes_(surface.finished))
        file.attrs.modify("complete", int(surface.complete))


@contextmanager
def _appearing(path: Path, *, overwrite: bool) -> Iterator[h5py.File]:
    """Open a new file that gets the name ``path`` when the block has ended well.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set, or the file system refuses.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with h5py.File(partial, "x", locking=False) as file:
            yield file
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        publish(partial, path, overwrite=overwrite)
    except OSError as error:
        raise InputError(f"cannot make {path}: {in_short(error)}") from None
    finally:
        with suppress(OSError):
            partial.unlink()


def publish(partial: Path, path: Path, *, overwrite: bool) -> None:
    """Give the finished file its name, in one step, never over another file unless asked.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set.
        OSError: The file system refuses.
    """
    if overwrite:
        partial.replace(path)
        return
    try:
        os.link(partial, path)  # unlike rename, this fails where the name is taken
    except FileExistsError:
        raise InputError(f"--out: {path} appeared in the meantime; start again") from None
    except OSError:  # a file system without hard links
        if path.exists():
            raise InputError(f"--out: {path} appeared in the meantime; start again") from None
        partial.rename(path)


def _build(
    file: h5py.File,
    coordinates: Mapping[str, npt.NDArray[np.float64]],
    metrics: Sequence[Metric],
    *,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    """Make everything in the file; ``coordinates`` are those of beta, where it is a plane, and then of alpha."""
    file.attrs["format"] = FORMAT
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["config"] = json.dumps(config)
    file.attrs["provenance"] = json.dumps(provenance)
    file.attrs["complete"] = 0
    file.attrs["created"] = now()
    file.attrs["finished"] = np.bytes_(" " * len(now()))  # of fixed length: finishing changes bytes, not the structure
    file.attrs["sessions"] = np.bytes_(sessions.write(()))  # of fixed length too
    scales = []
    for name, values in coordinates.items():
        scale = file.create_dataset(name, data=values)
        scale.make_scale(name)
        scale.attrs["long_name"] = f"{name}, the coordinate along {'delta' if name == 'alpha' else 'eta'}"
        scales.append(scale)
    shape = tuple(len(values) for values in coordinates.values())
    for metric in metrics:
        dataset = _create_dataset(file, metric.name, shape, np.float64, np.nan)
        dataset.attrs["units"] = metric.units
    for name, (dtype, fill) in BOOKKEEPING.items():
        dataset = _create_dataset(file, name, shape, dtype, fill)
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
        self._parallel, self._path, self._looked = comm is not None, path, time.monotonic()
        self._identity = path.stat()
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
            RankError: The file system refuses the write.
        """
        try:
            self._write(segment, values, rank=rank)
        except OSError as error:
            raise RankError(f"cannot write {self._path}: {in_short(error)}") from error

    def _write(self, segment: Segment, values: npt.NDArray[np.float64], *, rank: int) -> None:
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

    def look(self) -> None:
        """Make sure, every few seconds, that the file is still under its name: what is written goes on regardless.

        Raises:
            RankError: It was moved or deleted.
        """
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            same = os.path.samestat(self._identity, self._path.stat())
        except OSError:
            same = False
        if not same:
            raise RankError(
                f"{self._path} was moved or deleted while it was being computed; put it back to go on with it"
            )

    def close(self) -> None:
        """Close the file; collective where it was opened with a communicator."""
        self._file.close()


def begin_session(path: Path, *, ranks: int) -> None:
    """Note in the file that so many ranks begin to compute, before any of them opens it."""
    _change_sessions(path, lambda before: sessions.begin(before, ranks=ranks, now=time.time()))


def end_session(path: Path, *, seconds: float) -> None:
    """Note in the file how long the ranks computed, when all of them have closed it."""
    _change_sessions(path, lambda before: sessions.end(before, seconds=seconds))


def _change_sessions(path: Path, change: Callable[[tuple[Session, ...]], tuple[Session, ...]]) -> None:
    with h5py.File(path, "r+", locking=False) as file:
        if "sessions" in file.attrs:  # older files have none
            before = sessions.read(bytes(file.attrs["sessions"]).decode())
            file.attrs.modify("sessions", np.bytes_(sessions.write(change(before))))


def note_difference(path: Path, text: str) -> None:
    """Note in the file what was found to be wrong with its values."""
    with h5py.File(path, "r+", locking=False) as file:
        provenance = {**json.loads(file.attrs["provenance"]), "differs": text}
        file.attrs["provenance"] = json.dumps(provenance)


def finish(path: Path, *, rounding: Mapping[str, Any] | None = None) -> None:
    """Mark the surface complete; ``rounding`` says how far a lower precision is from float32, where it was one."""
    with h5py.File(path, "r+", locking=False) as file:
        if rounding is not None:
            file.attrs["rounding"] = json.dumps(rounding)
        file.attrs.modify("finished", np.bytes_(now()))
        file.attrs.modify("complete", 1)
