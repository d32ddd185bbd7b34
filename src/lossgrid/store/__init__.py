"""Surfaces and directions in HDF5; the only package that imports h5py."""

from lossgrid.store.directions import StoredDirection, read_directions, write_directions
from lossgrid.store.file import SurfaceFile, create, finish, has_parallel_hdf5, hdf5_version
from lossgrid.store.lock import locked
from lossgrid.store.reader import read
from lossgrid.store.schema import Metric
from lossgrid.store.surface import DONE, FAILED, NOT_FINITE, PENDING, Surface

__all__ = [
    "DONE",
    "FAILED",
    "NOT_FINITE",
    "PENDING",
    "Metric",
    "StoredDirection",
    "Surface",
    "SurfaceFile",
    "create",
    "finish",
    "has_parallel_hdf5",
    "hdf5_version",
    "locked",
    "read",
    "read_directions",
    "write_directions",
]
