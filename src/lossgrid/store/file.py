"""Creating and finishing a surface file: first its structure, serially; later only attributes of fixed length."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError, RankError, in_short
from lossgrid.store.contents import Contents
from lossgrid.store.digest import digest
from lossgrid.store.identity import Identity, identify
from lossgrid.store.reader import known_names, quantities_of, read
from lossgrid.store.room import refuse_too_large
from lossgrid.store.schema import (
    BOOKKEEPING,
    DIGEST_BYTES,
    FORMAT,
    FORMAT_VERSION,
    OPTIONAL,
    REFINEMENT,
    ROUNDING_BYTES,
)
from lossgrid.store.trust import attributes_of
from lossgrid.store.whole import appearing
from lossgrid.surface import Grid, Quantity, Session, Surface, sessions
from lossgrid.surface.quantity import bar_of, error_of, sampled_of


def now() -> str:
    """Return the current time as ISO 8601 text in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def has_parallel_hdf5() -> bool:
    """Return whether h5py was built with MPI, so that all ranks can write one file."""
    return bool(h5py.get_config().mpi)


def hdf5_version() -> str:
    """Return the version of the HDF5 library in use."""
    return str(h5py.version.hdf5_version)


def create(
    path: Path,
    grid: Grid,
    quantities: Sequence[Quantity],
    *,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    overwrite: bool = False,
) -> Identity:
    """Create the file of an empty surface, all points pending; it appears under its name only when it is whole.

    Returns:
        The identity of the file.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set, the surface is larger than memory or disk, or the file
            system refuses: no space, no permission.
    """
    refuse_too_large(path, len(grid), len(quantities))
    axes = {"beta": grid.beta, "alpha": grid.alpha}
    coordinates = {name: axis.values() for name, axis in axes.items() if axis is not None}
    with appearing(path, overwrite=overwrite) as file:
        names = [quantity.name for quantity in quantities]
        key = _build(file, coordinates, quantities, config=config, provenance=provenance, errors_of=names)
    return identify(path, key)


def save(path: Path, surface: Surface, *, overwrite: bool = False) -> None:
    """Write a whole surface with any coordinates; the file appears under its name only when it is whole.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set, the surface is larger than memory or disk, or the file
            system refuses: no space, no permission.
    """
    refuse_too_large(path, surface.status.size, len(surface.quantities))
    axes = {"beta": surface.beta, "alpha": surface.alpha}
    coordinates = {name: values for name, values in axes.items() if values is not None}
    quantities = list(surface.quantities.values())
    bookkeeping = {name: getattr(surface, name) for name in BOOKKEEPING}
    errors = {error_of(name): array for name, array in surface.errors.items()}
    bars = {bar_of(name): array for name, array in surface.bars.items()}
    sampled = {sampled_of(name): array for name, array in surface.sampled.items()}
    more = {name: getattr(surface, name) for name in OPTIONAL if getattr(surface, name) is not None}
    with appearing(path, overwrite=overwrite) as file:
        about = {"config": surface.config, "provenance": surface.provenance}
        _build(file, coordinates, quantities, **about, errors_of=surface.errors)
        for name, array in {**surface.values, **errors, **bookkeeping}.items():
            file[name][...] = array
        for name, array in {**more, **bars, **sampled}.items():
            create_dataset(file, name, array.shape, array.dtype, 0)[...] = array
        file.attrs["created"] = surface.created
        fill_attribute(file, "sessions", sessions.write(surface.sessions))
        if surface.rounding is not None:
            fill_attribute(file, "rounding", json.dumps(surface.rounding))
        if surface.refinement is not None:
            fill_attribute(file, REFINEMENT, json.dumps(surface.refinement.as_json()))
        if surface.finished is not None:
            fill_attribute(file, "finished", surface.finished)
        if surface.complete:
            _seal(file)


def _build(
    file: h5py.File,
    coordinates: Mapping[str, npt.NDArray[np.float64]],
    quantities: Sequence[Quantity],
    *,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    errors_of: Collection[str],
) -> str:
    """Create all attributes and datasets of the file.

    ``coordinates`` are those of beta, for a plane, then of alpha. ``errors_of`` names the quantities with standard
    errors.

    Returns:
        The attribute ``id``.
    """
    key = uuid.uuid4().hex
    file.attrs["format"] = FORMAT
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["id"] = np.bytes_(key)
    file.attrs["config"] = json.dumps(config)
    file.attrs["provenance"] = json.dumps(provenance)
    file.attrs["quantities"] = json.dumps([quantity.as_json() for quantity in quantities])
    file.attrs["complete"] = 0
    file.attrs["created"] = now()
    # Fixed length: a later write changes bytes, not the structure.
    file.attrs["finished"] = np.bytes_(" " * len(now()))
    file.attrs["sessions"] = np.bytes_(sessions.write(()))
    file.attrs["rounding"] = np.bytes_(" " * ROUNDING_BYTES)
    file.attrs["digest"] = np.bytes_(" " * DIGEST_BYTES)
    scales = []
    for name, values in coordinates.items():
        scale = file.create_dataset(name, data=values)
        scale.make_scale(name)
        scale.attrs["long_name"] = f"{name}, the coordinate along {'delta' if name == 'alpha' else 'eta'}"
        scales.append(scale)
    shape = tuple(len(values) for values in coordinates.values())
    for quantity in quantities:
        dataset = create_dataset(file, quantity.name, shape, np.float64, np.nan)
        dataset.attrs["units"] = quantity.units
    for name, (dtype, fill) in BOOKKEEPING.items():
        dataset = create_dataset(file, name, shape, dtype, fill)
    file["seconds"].attrs["units"] = "s"
    for name in errors_of:
        dataset = create_dataset(file, error_of(name), shape, np.float32, np.nan)
        dataset.attrs["long_name"] = f"standard error of {name} over its samples"
    names = [quantity.name for quantity in quantities]
    for name in (*names, *(error_of(name) for name in errors_of), *BOOKKEEPING):
        for dimension, scale in enumerate(scales):
            file[name].dims[dimension].attach_scale(scale)
    return key


def create_dataset(file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any, fill: Any) -> h5py.Dataset:
    """Create a contiguous dataset, allocated and filled before any rank opens it in parallel."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)
    properties.set_fill_value(np.array(fill, dtype=dtype))
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(np.dtype(dtype)), space, properties)
    return file[name]


def begin_session(path: Path, *, ranks: int) -> None:
    """Record in the file that ``ranks`` ranks begin to compute; call it before any of them opens the file.

    Raises:
        InputError: The file cannot be written.
    """
    _change_sessions(path, lambda before: sessions.begin(before, ranks=ranks, now=time.time()))


def end_session(path: Path, *, seconds: float) -> None:
    """Record in the file how long the ranks computed; call it after all of them have closed the file.

    Raises:
        InputError: The file cannot be written.
    """
    _change_sessions(path, lambda before: sessions.end(before, seconds=seconds))


def _change_sessions(path: Path, change: Callable[[tuple[Session, ...]], tuple[Session, ...]]) -> None:
    with changed(path) as file:
        if "sessions" in file.attrs:  # older files have none
            before = sessions.read(bytes(file.attrs["sessions"]).decode())
            fill_attribute(file, "sessions", sessions.write(change(before)))


def note_difference(path: Path, text: str) -> None:
    """Record in the file, as ``text``, how its values differ from values computed again.

    Raises:
        InputError: The file cannot be written.
    """
    with changed(path) as file:
        provenance = {**json.loads(file.attrs["provenance"]), "differs": text}
        file.attrs["provenance"] = json.dumps(provenance)


def finish(identity: Identity, *, rounding: Mapping[str, Any] | None = None) -> Surface:
    """Mark a surface complete, after a check that the file is the same and no point is missing.

    Args:
        identity: The identity of the file.
        rounding: The differences of a lower precision from float32; None for float32 and above.

    Returns:
        The complete surface.

    Raises:
        RankError: The file was replaced, cut or damaged, or lacks points.
        InputError: It cannot be read, or not be written.
    """
    identity.verify()
    surface = read(identity.path)
    if missing := int(np.count_nonzero(surface.missing)):
        raise RankError(
            f"{identity.path} lacks {missing} of {surface.status.size} points that were computed: it was replaced or "
            "damaged while the run went on; run the same command again to go on"
        )
    with changed(identity.path) as file:
        if rounding is not None:
            fill_attribute(file, "rounding", json.dumps(rounding))
        fill_attribute(file, "finished", now())
        _seal(file)
    identity.verify()
    return read(identity.path)


@contextmanager
def changed(path: Path) -> Iterator[h5py.File]:
    """Open an existing file to change attributes; no other process may write it meanwhile.

    Raises:
        InputError: It cannot be written.
    """
    try:
        with h5py.File(path, "r+", locking=False) as file:
            yield file
    except OSError as error:
        raise InputError(f"{path} cannot be written: {in_short(error)}; make it and its folder writable") from None


def _seal(file: h5py.File) -> None:
    """Write the digest of a surface and mark it complete."""
    arrays = {name: item[...] for name, item in file.items() if isinstance(item, h5py.Dataset)}
    attributes = {"": attributes_of(file), **{name: attributes_of(file[name]) for name in arrays}}
    held = Contents(attributes, {}, arrays)
    fill_attribute(file, "digest", digest(held, known_names(held, quantities_of(held))))
    file.attrs.modify("complete", 1)


def fill_attribute(file: h5py.File, name: str, text: str) -> None:
    """Write an attribute of fixed length, padded with blanks; recreate it if the text is longer."""
    room = file.attrs.get_id(name).dtype.itemsize if name in file.attrs else 0
    file.attrs.modify(name, np.bytes_(text.ljust(room)))
