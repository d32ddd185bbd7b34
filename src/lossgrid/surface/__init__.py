"""Surfaces in memory: grid, quantities, origin, summary; needs only NumPy."""

from lossgrid.surface.grid import Axis, Grid
from lossgrid.surface.origin import Origin
from lossgrid.surface.quantity import Quantity
from lossgrid.surface.sessions import Session, seconds_of
from lossgrid.surface.surface import DONE, FAILED, INTERPOLATED, NOT_FINITE, PENDING, Surface, status_of
from lossgrid.surface.work import Results, Work

__all__ = [
    "DONE",
    "FAILED",
    "INTERPOLATED",
    "NOT_FINITE",
    "PENDING",
    "Axis",
    "Grid",
    "Origin",
    "Quantity",
    "Results",
    "Session",
    "Surface",
    "Work",
    "seconds_of",
    "status_of",
]
