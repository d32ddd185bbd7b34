"""The levels of a grid: nested lattices of its own points, coarse to fine, with the cells between them.

Arrays of a level are ``[..., rows, columns]`` of its lattice. A cell lies between neighbouring rows and columns; a line
has one row, and its cells are its gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.sampling.nested import Array, Halving, Indices, halvings

FEWEST = 4  # gaps along each axis of the coarsest lattice: four coordinates make a cubic

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Level:
    """A lattice, with the step to it from the coarser one.

    Attributes:
        rows: Step along beta.
        columns: Step along alpha.
    """

    rows: Halving
    columns: Halving

    @property
    def points(self) -> tuple[Any, ...]:
        """Its points in the grid, an index for arrays of the grid."""
        return np.ix_(self.rows.fine, self.columns.fine)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return len(self.rows.fine), len(self.columns.fine)

    @property
    def is_new(self) -> Mask:
        """Whether a point is not in the coarser lattice."""
        new = np.ones(self.shape, dtype=bool)
        new[np.ix_(self.rows.kept, self.columns.kept)] = False
        return new

    def children(self, cells: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return for each cell of this lattice the entry of the coarser cell that it lies in."""
        return cells[..., self.rows.parents[:, np.newaxis], self.columns.parents]


def levels_of(alpha: Array, beta: Array) -> tuple[tuple[Indices, Indices], list[Level]]:
    """Return rows and columns of the coarsest lattice, and all finer levels; the last one is the grid.

    Args:
        alpha: Coordinates along delta, shape ``(n_alpha,)``, float64.
        beta: Coordinates along eta; one for a line.
    """
    (first_row, rows), (first_column, columns) = (halvings(axis, FEWEST) for axis in (beta, alpha))
    more = len(columns) - len(rows)  # an axis that is complete stays as it is
    rows += [_same(beta)] * max(more, 0)
    columns += [_same(alpha)] * max(-more, 0)
    return (first_row, first_column), [Level(*steps) for steps in zip(rows, columns, strict=True)]


def _same(coordinates: Array) -> Halving:
    every = np.arange(len(coordinates))
    return Halving(every, every, coordinates)


def corners(cells: Mask, shape: tuple[int, int]) -> Mask:
    """Return the points of a lattice of ``shape`` at the corners of ``cells``."""
    found = np.zeros(shape, dtype=bool)
    for part in _corner_slices(shape):
        found[part] |= cells
    return found


def largest_at_corners(values: Array) -> Array:
    """Return for each cell the largest value at its corners, shape ``(..., cells)``; ``values`` are of points."""
    parts = [values[..., row, column] for row, column in _corner_slices(values.shape[-2:])]
    return np.asarray(np.maximum.reduce(parts))


def _corner_slices(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    rows, columns = ([slice(0, 1)] if size == 1 else [slice(0, size - 1), slice(1, size)] for size in shape)
    return [(row, column) for row in rows for column in columns]


def cells_at(row: int, column: int, level: Level) -> Mask:
    """Return the cells of a lattice with a point of the grid in them or at their border."""

    def touching(index: int, halving: Halving) -> Mask:
        fine = halving.fine
        return (fine[:-1] <= index) & (index <= fine[1:]) if len(fine) > 1 else np.ones(1, dtype=bool)

    return np.logical_and.outer(touching(row, level.rows), touching(column, level.columns))


def with_neighbours(cells: Mask) -> Mask:
    """Return cells and the eight around each."""
    padded = np.pad(cells, 1)
    rows, columns = cells.shape
    shifted = [padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return np.asarray(np.logical_or.reduce(shifted))
