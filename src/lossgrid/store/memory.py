"""A surface that is computed without a file, for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.grid import Grid, Segment
from lossgrid.store.file import now
from lossgrid.store.schema import BOOKKEEPING, Metric
from lossgrid.store.surface import DONE, NOT_FINITE, Surface


class SurfaceMemory:
    """Arrays with the ``write`` of a :class:`~lossgrid.store.SurfaceFile`."""

    def __init__(self, grid: Grid, metrics: Sequence[Metric]) -> None:
        """Start with all points of ``grid`` pending."""
        self._grid = grid
        self._created = now()
        self._metrics = {metric.name: np.full(grid.rows, np.nan) for metric in metrics}
        self._book = {name: np.full(grid.rows, fill, dtype=dtype) for name, (dtype, fill) in BOOKKEEPING.items()}

    def write(self, segment: Segment, values: npt.NDArray[np.float64], *, rank: int) -> None:
        """Take the results of neighbouring points, as :meth:`lossgrid.store.SurfaceFile.write` does."""
        where = (segment.row, slice(segment.start, segment.stop))
        for array, column in zip(self._metrics.values(), values.T, strict=False):
            array[where] = column
        self._book["seconds"][where] = values[:, -1]
        self._book["rank"][where] = rank
        self._book["status"][where] = np.where(np.isfinite(values[:, :-1]).all(axis=1), DONE, NOT_FINITE)

    def surface(self, *, config: Mapping[str, Any], provenance: Mapping[str, Any], complete: bool) -> Surface:
        """Return what has been written so far."""
        shape = self._grid.shape
        return Surface(
            alpha=self._grid.alpha.values(),
            beta=None if self._grid.beta is None else self._grid.beta.values(),
            metrics={name: array.reshape(shape) for name, array in self._metrics.items()},
            status=self._book["status"].reshape(shape),
            seconds=self._book["seconds"].reshape(shape),
            rank=self._book["rank"].reshape(shape),
            config=config,
            provenance=provenance,
            complete=complete,
            created=self._created,
            finished=now() if complete else None,
        )
