"""Mail between root and its workers: what messages hold, and when results are worth one.

* A **report** goes from a worker to root: its wish for work and the results it has, in one float64 buffer
  ``[ticket, flags, row, start, step, count, results...]``. ``ticket`` is the number of its last request.
* A **share** goes from root to a worker, int64 ``[row, start, stop, step]``: the answer to a request. An empty one says
  that there is nothing more to give.
* A **stop**, empty and under a tag of its own, says: finish your point and leave.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lossgrid.surface import Results, Work

REPORT_TAG, SHARE_TAG, STOP_TAG = 1, 2, 3
IDLE, WANTS_STOP, LEFT = 1, 2, 4  # flags of a report: it waits doing nothing; it was asked to stop; it is the last one
HEADER = 6  # ticket, flags, row, start, step, count
REPORT_SECONDS = 0.2
SECONDS_PER_RANK = 0.001  # shares and reports of R ranks last R ms each at least: root meets < 2,000 messages a second

Message = npt.NDArray[np.float64]


class Write(Protocol):
    """Puts results of points where they belong."""

    def __call__(self, results: Results, *, rank: int) -> None:
        """Write what ``rank`` computed."""


@dataclass(frozen=True)
class Report:
    """What a worker tells root.

    Attributes:
        ticket: The number of its last request.
        flags: ``IDLE``, ``WANTS_STOP``, ``LEFT``, added up.
        results: The results it has; None where there are none.
    """

    ticket: int
    flags: int
    results: Results | None

    def packed(self) -> Message:
        """Return the message."""
        work, table = (self.results.work, self.results.table) if self.results else (Work(0, 0, 0), np.empty(0))
        header = (self.ticket, self.flags, work.row, work.start, work.step, len(work))
        return np.concatenate([np.array(header, dtype=np.float64), table.ravel()])


def unpacked(message: Message) -> Report:
    """Return the report that a message holds."""
    ticket, flags, row, start, step, count = message[:HEADER].astype(np.int64).tolist()
    if not count:
        return Report(ticket, flags, None)
    table = message[HEADER:].reshape(count, -1)
    return Report(ticket, flags, Results.from_table(Work.of(row, start, step, count), table))


def share_of(work: Work | None) -> npt.NDArray[np.int64]:
    """Return the message that gives ``work`` to a rank; None says that there is nothing more."""
    given = work or Work(0, 0, 0)
    return np.array([given.row, given.start, given.stop, given.step], dtype=np.int64)


def receive_share(comm: Any, source: int) -> Work | None:
    """Receive the share that is there; None where it is empty."""
    message = np.empty(4, dtype=np.int64)
    comm.Recv(message, source=source, tag=SHARE_TAG)
    work = Work(*message.tolist())
    return work if len(work) else None


class Outbox:
    """Finished points of the current share that have not been written yet."""

    def __init__(self, write: Write, rank: int, size: int) -> None:
        """Start empty; ``write`` puts away the results of ``rank``, one of ``size`` ranks."""
        self._write, self._rank = write, rank
        self._interval = max(REPORT_SECONDS, SECONDS_PER_RANK * size)
        self._points: list[Results] = []
        self._step = 1
        self._written = time.monotonic()

    def add(self, share: Work, results: Results) -> None:
        """Take the results of a point of a share, the next one after the one before."""
        self._step = share.step
        self._points.append(results)

    @property
    def is_due(self) -> bool:
        """Tell whether results have waited long enough."""
        return bool(self._points) and time.monotonic() - self._written >= self._interval

    def flush(self) -> Results | None:
        """Write what is there and return it; None where there is nothing."""
        if not self._points:
            return None
        first = self._points[0].work
        work = Work.of(first.row, first.start, self._step, len(self._points))
        results = Results.from_table(work, np.concatenate([point.table for point in self._points]))
        self._points.clear()
        self._write(results, rank=self._rank)
        self._written = time.monotonic()
        return results


class Naps:
    """Sleeps between looks at the mail, growing from 50 microseconds to 2 ms, so that waiting costs no core."""

    def __init__(self) -> None:
        """Start with the shortest."""
        self._seconds = 5e-5

    def take(self) -> None:
        """Sleep once."""
        time.sleep(self._seconds)
        self._seconds = min(2 * self._seconds, 2e-3)


@dataclass
class Correspondence:
    """Where root stands with a worker: its last request, the last one answered, whether it waits doing nothing.

    Every worker begins with request 1, which needs no message: first shares are on their way before anybody asks.
    """

    asked: int = 1
    answered: int = 0
    is_idle: bool = True

    @property
    def is_waiting(self) -> bool:
        """Tell whether a request is open."""
        return self.asked != self.answered
