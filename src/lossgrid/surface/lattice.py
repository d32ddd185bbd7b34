"""Nested lattices of a grid: every 2^k-th row and column, through theta* if that is a point.

The coarsest lattice is computed first, then the next finer one, and so on. At any time the finest complete lattice is a
picture of the whole grid; so is a mosaic, in which computed points stand for those around them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lossgrid.surface.grid import Grid
from lossgrid.surface.surface import INTERPOLATED, PENDING, Surface
from lossgrid.surface.work import Work

FEWEST = 8  # points along the longer axis of the coarsest lattice
FEW_PENDING = 0.02  # fraction of the points: with fewer holes the full grid is drawn
AROUND = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))  # rows and columns to neighbours

Mask = npt.NDArray[np.bool_]


def stride_of(shape: Sequence[int]) -> int:
    """Return the stride of the coarsest lattice in rows and columns: a power of two."""
    stride = 1
    while max(shape) > 2 * stride * FEWEST:
        stride *= 2
    return stride


def works(pending: Mask, origin: tuple[int, int]) -> Iterator[Work]:
    """Yield the pending points, lattice by lattice, the coarsest first, each row by row.

    Args:
        pending: Points still to compute, shape ``(n_beta, n_alpha)``, bool.
        origin: Row and column of a point of all lattices.
    """
    stride = coarsest = stride_of(pending.shape)
    while stride:
        for row in range(origin[0] % stride, len(pending), stride):
            # In a row of the coarser lattice, every second point is done.
            is_old = stride < coarsest and row % (2 * stride) == origin[0] % (2 * stride)
            first, step = (origin[1] + stride, 2 * stride) if is_old else (origin[1], stride)
            yield from _runs(pending[row], row, first % step, step)
        stride //= 2


def _runs(pending: Mask, row: int, first: int, step: int) -> Iterator[Work]:
    """Yield the runs of pending points among every ``step``-th point of a row."""
    picked = pending[first::step]
    if not picked.any():  # as in most rows where a level is refined in places
        return
    edges = np.flatnonzero(np.diff(picked, prepend=False, append=False)).tolist()
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        yield Work.of(row, first + step * start, step, stop - start)


def finest_whole(computed: Mask, origin: tuple[int, int]) -> int | None:
    """Return the stride of the finest lattice with all points computed; None if there is none.

    Args:
        computed: Shape ``(n_beta, n_alpha)``, bool.
        origin: Row and column of a point of all lattices.
    """
    stride = 1
    while stride <= stride_of(computed.shape):
        if computed[origin[0] % stride :: stride, origin[1] % stride :: stride].all():
            return stride
        stride *= 2
    return None


def whole_part(surface: Surface) -> Surface:
    """Return the finest complete lattice of a surface that is being computed; any other surface unchanged.

    A surface with interpolated points is whole without it.
    """
    pending = surface.status == PENDING
    count = int(np.count_nonzero(pending))
    others = surface.interpolated or "merged" in surface.provenance or "imported" in surface.provenance
    if count <= FEW_PENDING * pending.size or others:
        return surface
    columns = len(surface.alpha)
    origin = origin_of(surface)
    stride = finest_whole(~pending.reshape(-1, columns), origin)
    if stride is None or stride == 1:
        return surface
    along = [slice(first % stride, None, stride) for first in origin]
    return replace(_cut(surface, along[1], along[0]), stride=stride)


def known_part(line: Surface) -> Surface:
    """Return the points of a line that have values."""
    return _cut(line, ~line.missing)


def _cut(surface: Surface, columns: slice | Mask, rows: slice = slice(None)) -> Surface:
    """Return some columns and rows of a surface; a line has no rows."""
    part = columns if surface.beta is None else (rows, columns)
    return replace(
        surface,
        alpha=surface.alpha[columns],
        beta=None if surface.beta is None else surface.beta[rows],
        values={name: values[part] for name, values in surface.values.items()},
        errors={name: errors[part] for name, errors in surface.errors.items()},
        status=surface.status[part],
        seconds=surface.seconds[part],
        rank=surface.rank[part],
        samples=None if surface.samples is None else surface.samples[part],
        level=None if surface.level is None else surface.level[part],
        bars={name: bars[part] for name, bars in surface.bars.items()},
        sampled={name: values[part] for name, values in surface.sampled.items()},
    )


def mosaic(plane: Surface) -> Surface:
    """Return a plane under way in which pending points have the values of the nearest computed one.

    They get the status ``INTERPOLATED``. Points further away than the stride of the coarsest lattice stay pending.
    """
    stands = plane.computed & np.all([np.isfinite(one) for one in plane.values.values()], axis=0)
    nearest = np.where(stands, np.arange(stands.size).reshape(stands.shape), -1)
    rows, columns = stands.shape
    for _ in range(stride_of(stands.shape)):
        padded = np.pad(nearest, 1, constant_values=-1)
        for row, column in AROUND:
            neighbour = padded[1 + row : 1 + row + rows, 1 + column : 1 + column + columns]
            nearest = np.where(nearest < 0, neighbour, nearest)
    filled = (plane.status == PENDING) & (nearest >= 0)
    return replace(
        plane,
        values={name: np.where(filled, one.ravel()[nearest], one) for name, one in plane.values.items()},
        status=np.where(filled, INTERPOLATED, plane.status).astype(np.uint8),
    )


def origin_of(points: Grid | Surface) -> tuple[int, int]:
    """Return row and column of the point of all lattices: theta*, or without it the middle of the grid."""
    rows, columns = (1, *points.shape)[-2:]
    return points.centre or (rows // 2, columns // 2)
