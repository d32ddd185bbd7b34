"""The path of a run, and what it goes through: settings in, a surface file out; where torch, MPI and HDF5 meet."""

from lossgrid.run.budget import Budget
from lossgrid.run.given import Given
from lossgrid.run.path import run

__all__ = ["Budget", "Given", "run"]
