"""Work: equidistant points of one row, which are computed and reported together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Work:
    """Some points of a row.

    Attributes:
        row: Their row, an index of beta.
        start: The first column, an index of alpha.
        stop: End of the columns, exclusive.
        step: Distance between columns.
        samples: Number of samples of each split that are passed; 0 for all.
    """

    row: int
    start: int
    stop: int
    step: int = 1
    samples: int = 0

    @classmethod
    def of(cls, row: int, start: int, step: int, count: int, samples: int = 0) -> Work:
        """Return the work of ``count`` points, at least one, of a row from column ``start`` on."""
        return cls(row, start, start + step * (count - 1) + 1, step, samples)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def columns(self) -> range:
        """The columns, rising."""
        return range(self.start, self.stop, self.step)

    def split(self, count: int) -> tuple[Work, Work]:
        """Return the work of the first ``count`` points and that of the rest, which may be empty."""
        at = self.start + count * self.step
        return replace(self, stop=min(at, self.stop)), replace(self, start=at)

    def point(self, column: int) -> Work:
        """Return the work of a single point."""
        return Work(self.row, column, column + 1, 1, self.samples)


@dataclass(frozen=True)
class Results:
    """The results of a work.

    Attributes:
        work: The points.
        values: Their quantities, in the order of the evaluator, shape ``(len(work), n_quantities)``, float64; in a run
            of fewer samples twice as many: those of all samples, NaN where not computed, then those of fewer.
        errors: Standard errors of the values over the samples, of the same shape, float64; NaN where unknown.
        seconds: Time of each point, shape ``(len(work),)``, float64.
    """

    work: Work
    values: Array
    errors: Array
    seconds: Array

    @classmethod
    def of_point(cls, work: Work, values: Array, errors: Array, seconds: float) -> Results:
        """Return the results of a single point, whose values and errors have shape ``(n_quantities,)``."""
        return cls(work, values[np.newaxis], errors[np.newaxis], np.array([seconds]))

    @classmethod
    def from_table(cls, work: Work, table: Array) -> Results:
        """Return the results in an array such as :attr:`table`."""
        count = (table.shape[1] - 1) // 2
        return cls(work, table[:, :count], table[:, count:-1], table[:, -1])

    @property
    def table(self) -> Array:
        """All numbers as one array for messages: a row per point with values, errors and seconds, float64."""
        return np.concatenate([self.values, self.errors, self.seconds[:, np.newaxis]], axis=1)
