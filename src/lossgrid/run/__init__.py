"""The path of a run and its steps: settings in, a surface file out; torch, MPI and HDF5 meet here."""

from lossgrid.run.budget import Budget
from lossgrid.run.given import Given
from lossgrid.run.path import run

__all__ = ["Budget", "Given", "run"]
