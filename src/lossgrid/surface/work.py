"""Work: points of one row, at equal distances, that are computed together and whose results travel together."""

from __future__ import annotations

from dataclasses import dataclass


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
