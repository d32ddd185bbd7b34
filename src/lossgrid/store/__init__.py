"""Surfaces and directions in HDF5; the only package that imports h5py."""

from lossgrid.store.derived import derive
from lossgrid.store.directions import StoredDirection, read_directions, write_directions
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
from lossgrid.store.loss_landscape import ReferenceSurface, read_reference, write_reference
from lossgrid.store.probe import make_blocks, write_blocks
from lossgrid.store.reader import read
from lossgrid.store.refinement import begin_refinement, interpolate, reopen
from lossgrid.store.room import bytes_of_points, refuse_too_large
from lossgrid.store.writer import SurfaceFile

__all__ = [
    "Identity",
    "ReferenceSurface",
    "StoredDirection",
    "SurfaceFile",
    "begin_refinement",
    "begin_session",
    "bytes_of_points",
    "create",
    "derive",
    "end_session",
    "finish",
    "has_parallel_hdf5",
    "hdf5_version",
    "identify",
    "interpolate",
    "make_blocks",
    "note_difference",
    "now",
    "read",
    "read_directions",
    "read_reference",
    "refuse_too_large",
    "reopen",
    "save",
    "write_blocks",
    "write_directions",
    "write_reference",
]
