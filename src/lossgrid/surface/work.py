"""Work: points of one row, at equal distances, that are computed together and whose results travel together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Work:
    """Some points of a row.

    Attributes:
        row: Their row, an index of beta.
        start: The first column, an index of alpha.
        stop: One past the last column there may be.
        step: From one column to the next.
    """

    row: int
    start: int
    stop: int
    step: int = 1

    @classmethod
    def of(cls, row: int, start: int, step: int, count: int) -> Work:
        """Return ``count`` points of a row, at least one, from column ``start`` on."""
        return cls(row, start, start + step * (count - 1) + 1, step)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def columns(self) -> range:
        """The columns, in their order."""
        return range(self.start, self.stop, self.step)

    def split(self, count: int) -> tuple[Work, Work]:
        """Return the first ``count`` points and the rest, which may be none."""
        at = self.start + count * self.step
        return Work(self.row, self.start, min(at, self.stop), self.step), Work(self.row, at, self.stop, self.step)

    def point(self, column: int) -> Work:
        """Return the work of one of its points alone."""
        return Work(self.row, column, column + 1)


@dataclass(frozen=True)
class Results:
    """What came of the points of a work.

    Attributes:
        work: The points.
        values: Their quantities, in the order of the evaluator, shape ``(len(work), n_quantities)``, float64.
        errors: Standard errors of the values over the samples, of the same shape, float64; NaN where not known.
        seconds: What each point cost, shape ``(len(work),)``, float64.
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
        """Return the results that :attr:`table` holds."""
        count = (table.shape[1] - 1) // 2
        return cls(work, table[:, :count], table[:, count:-1], table[:, -1])

    @property
    def table(self) -> Array:
        """The numbers in one array, as messages carry them: values, errors, seconds by point."""
        return np.concatenate([self.values, self.errors, self.seconds[:, np.newaxis]], axis=1)
