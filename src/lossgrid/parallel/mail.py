"""Messages between root and its workers: their layout, and how often results are sent.

* A **report** goes from a worker to root: its request for work and its results, in one float64 buffer
  ``[ticket, flags, row, start, step, samples, count, results...]``. ``ticket`` is the number of its last request.
* A **share** goes from root to a worker, int64 ``[row, start, stop, step, samples]``: the answer to a request. An empty
  share means that no points are left.
* A **stop**, empty and with its own tag, means: finish your point and leave.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lossgrid.surface import Results, Work

REPORT_TAG, SHARE_TAG, STOP_TAG = 1, 2, 3
IDLE, WANTS_STOP, LEFT = 1, 2, 4  # flags of a report: the worker is idle; it was asked to stop; this is its last report
HEADER = 7  # ticket, flags, row, start, step, samples, count
REPORT_SECONDS = 0.2  # between two reports of a rank: a killed rank loses that much work
SECONDS_PER_RANK = 0.001  # with R ranks a share lasts at least R ms: root receives < 2,000 messages a second

Message = npt.NDArray[np.float64]


class Write(Protocol):
    """A function that stores results of points."""

    def __call__(self, results: Results, *, rank: int) -> None:
        """Write the results that ``rank`` computed."""


@dataclass(frozen=True)
class Report:
    """A report of a worker to root.

    Attributes:
        ticket: The number of its last request.
        flags: The sum of ``IDLE``, ``WANTS_STOP``, ``LEFT``, where they hold.
        results: Its results that are not yet sent; None if there are none.
    """

    ticket: int
    flags: int
    results: Results | None

    def packed(self) -> Message:
        """Return the message, float64, shape ``(HEADER + size of the results,)``."""
        work, table = (self.results.work, self.results.table) if self.results else (Work(0, 0, 0), np.empty(0))
        header = (self.ticket, self.flags, work.row, work.start, work.step, work.samples, len(work))
        return np.concatenate([np.array(header, dtype=np.float64), table.ravel()])


def unpacked(message: Message) -> Report:
    """Return the report that a message holds."""
    ticket, flags, row, start, step, samples, count = message[:HEADER].astype(np.int64).tolist()
    if not count:
        return Report(ticket, flags, None)
    table = message[HEADER:].reshape(count, -1)
    return Report(ticket, flags, Results.from_table(Work.of(row, start, step, count, samples), table))


def share_of(work: Work | None) -> npt.NDArray[np.int64]:
    """Return the message, int64 of shape ``(5,)``, that gives ``work`` to a rank; None: no points are left."""
    given = work or Work(0, 0, 0)
    return np.array([given.row, given.start, given.stop, given.step, given.samples], dtype=np.int64)


def receive_share(comm: Any, source: int) -> Work | None:
    """Receive a share and return it; None if it is empty."""
    message = np.empty(5, dtype=np.int64)
    comm.Recv(message, source=source, tag=SHARE_TAG)
    work = Work(*message.tolist())
    return work if len(work) else None


class Outbox:
    """Finished points of the current share that have not been written yet."""

    def __init__(self, write: Write, rank: int, size: int) -> None:
        """Make an empty outbox; ``write`` stores the results of ``rank``, one of ``size`` ranks."""
        self._write, self._rank = write, rank
        self._interval = max(REPORT_SECONDS, SECONDS_PER_RANK * size)
        self._points: list[Results] = []
        self._step = 1
        self._written = time.monotonic()

    def add(self, share: Work, results: Results) -> None:
        """Add the results of the next point of a share."""
        self._step = share.step
        self._points.append(results)

    @property
    def is_due(self) -> bool:
        """Return whether the results have waited long enough to be sent."""
        return bool(self._points) and time.monotonic() - self._written >= self._interval

    def flush(self) -> Results | None:
        """Write the results and return them; None if there are none."""
        if not self._points:
            return None
        first = self._points[0].work
        work = Work.of(first.row, first.start, self._step, len(self._points), first.samples)
        results = Results.from_table(work, np.concatenate([point.table for point in self._points]))
        self._points.clear()
        self._write(results, rank=self._rank)
        self._written = time.monotonic()
        return results


class Naps:
    """Sleeps between two probes for mail, growing from 50 microseconds to 2 ms, so that waiting costs no core."""

    def __init__(self) -> None:
        self._seconds = 5e-5

    def take(self) -> None:
        """Sleep, and double the next sleep."""
        time.sleep(self._seconds)
        self._seconds = min(2 * self._seconds, 2e-3)


@dataclass
class Correspondence:
    """Root's record of a worker: its last request, the last one answered, whether it is idle.

    Every worker begins with request 1, which needs no message: root sends the first shares unasked.
    """

    asked: int = 1
    answered: int = 0
    is_idle: bool = True

    @property
    def is_waiting(self) -> bool:
        """Return whether a request is unanswered."""
        return self.asked != self.answered
