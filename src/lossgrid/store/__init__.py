"""Surfaces and directions in HDF5; the only package that imports h5py."""

from lossgrid.store.directions import StoredDirection, read_directions, write_directions
from lossgrid.store.exchange import ReferenceSurface, read_reference, write_reference
from lossgrid.store.file import (
    begin_session,
    create,
    end_session,
    finish,
    has_parallel_hdf5,
    hdf5_version,
    note_difference,
    now,
    save,
)
from lossgrid.store.identity import Identity, identify
from lossgrid.store.lock import in_use, locked
from lossgrid.store.probe import LOCKS, TAKEN, FileSystem, file_system, lock_tried, make_blocks, write_blocks
from lossgrid.store.reader import read
from lossgrid.store.room import memory_left, refuse_too_large
from lossgrid.store.schema import Metric
from lossgrid.store.sessions import Session, seconds_of
from lossgrid.store.surface import DONE, FAILED, NOT_FINITE, PENDING, Surface
from lossgrid.store.whole import publish
from lossgrid.store.writer import SurfaceFile

__all__ = [
    "DONE",
    "FAILED",
    "LOCKS",
    "NOT_FINITE",
    "PENDING",
    "TAKEN",
    "FileSystem",
    "Identity",
    "Metric",
    "ReferenceSurface",
    "Session",
    "StoredDirection",
    "Surface",
    "SurfaceFile",
    "begin_session",
    "create",
    "end_session",
    "file_system",
    "finish",
    "has_parallel_hdf5",
    "hdf5_version",
    "identify",
    "in_use",
    "lock_tried",
    "locked",
    "make_blocks",
    "memory_left",
    "note_difference",
    "now",
    "publish",
    "read",
    "read_directions",
    "read_reference",
    "refuse_too_large",
    "save",
    "seconds_of",
    "write_blocks",
    "write_directions",
    "write_reference",
]
