"""Sharing the points of a grid among ranks: rank 0 hands out row segments and computes too.

The protocol, all of it two-sided messages on one communicator, no collective until everybody has left:

* A worker (any rank but root) sends **reports** to root: its wish for work and the results it has, in one float64
  buffer ``[ticket, flags, row, start, count, values...]``. ``ticket`` is the number of its last request; the flags say
  that it is idle until that request is answered, that it was asked to stop, or that it has left and this is its last
  report.
* Root answers each ticket once with a **share**, int64 ``[row, start, stop]``; an empty one says there is nothing more
  to give. A **stop** message, under a tag of its own, says: finish your point and leave.
* A worker asks **one share ahead**, when it starts the last point of the share it has, so the answer is there when it
  needs it. What the share before still owes travels with the first report of the next. Root looks at its mail between
  its own batches (``tick``), so an answer takes one batch at most; among more than ``ROOT_COMPUTES_UP_TO`` ranks it
  computes nothing, as its points would count for little and its answers for much.
* Root takes the first share before it answers anybody, so the first pending point is its own.
* Shares shrink towards the end: guided self-scheduling (Polychronopoulos & Kuck, "Guided self-scheduling", IEEE Trans.
  Computers C-36, 1987), a share being at most half of what is pending, divided by the points all ranks do while this
  one does one (with equal ranks, their number), and never more than about ``SHARE_SECONDS`` of work, at the pace the
  rank has shown. Once no more points are left than all do while this rank does one, a request made ahead waits until
  the rank is idle: who is free first gets the point, and ranks of different speed end within one point of each other.
* Results travel at most every ``REPORT_SECONDS``, so a killed rank loses little; waiting is polled with short sleeps,
  so it costs no core.

The values do not depend on who computes a point or when, so neither does the surface.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lossgrid.parallel.world import World, barrier, broadcast
from lossgrid.surface import Segment

SHARE_SECONDS = 0.5
REPORT_SECONDS = 0.2
SECONDS_PER_RANK = 0.001  # shares and reports of R ranks last R ms each at least: root meets < 2,000 messages a second
ROOT_COMPUTES_UP_TO = 1000  # ranks; benchmarks/simulation.py shows what it costs beyond
REPORT_TAG, SHARE_TAG, STOP_TAG = 1, 2, 3
IDLE, WANTS_STOP, LEFT = 1, 2, 4
PROBES = 5  # of an empty mailbox: a message may need several to get in, and the next look may be a long batch away
HEADER = 5  # ticket, flags, row, start, count

Values = npt.NDArray[np.float64]
Compute = Callable[[int, int, Callable[[], None]], Values]


class Write(Protocol):
    """Puts results of neighbouring points, shape ``(len(segment), n_columns)``, where they belong."""

    def __call__(self, segment: Segment, values: Values, *, rank: int) -> None:
        """Write ``values`` that ``rank`` computed."""


@dataclass
class Progress:
    """What is known at root while the ranks compute.

    Attributes:
        total: Points to compute.
        done: Points whose results have arrived.
        points: Points done by each rank.
        slowest: Seconds the costliest point took.
    """

    total: int
    done: int = 0
    points: list[int] = field(default_factory=list)
    slowest: float = 0.0


@dataclass(frozen=True)
class Task:
    """What a rank does with its points.

    Attributes:
        compute: ``compute(row, column, tick)`` returns the values of one point, shape ``(n_columns,)``, float64,
        seconds
            last; it calls ``tick()`` between batches.
        write: Called with finished points by the rank that computed them.
        collect: Called on root with the finished points of other ranks; None where ``write`` has already put them away.
        wants_stop: True once this process should leave after its point.
    """

    compute: Compute
    write: Write
    collect: Write | None
    wants_stop: Callable[[], bool]


class Outbox:
    """Finished points of the current share that have not been written yet."""

    def __init__(self, task: Task, world: World) -> None:
        """Start empty."""
        self._task, self._rank = task, world.rank
        self._interval = max(REPORT_SECONDS, SECONDS_PER_RANK * world.size)
        self._values: list[Values] = []
        self._row = self._start = 0
        self._written = time.monotonic()

    def add(self, row: int, column: int, values: Values) -> None:
        """Take the values of a point, the right neighbour of the one before."""
        if not self._values:
            self._row, self._start = row, column
        self._values.append(values)

    @property
    def is_due(self) -> bool:
        """Tell whether results have waited long enough."""
        return bool(self._values) and time.monotonic() - self._written >= self._interval

    def flush(self) -> tuple[Segment, Values] | None:
        """Write what is there and return it; None where there is nothing."""
        if not self._values:
            return None
        segment = Segment(self._row, self._start, self._start + len(self._values))
        values = np.stack(self._values)
        self._values.clear()
        self._task.write(segment, values, rank=self._rank)
        self._written = time.monotonic()
        return segment, values


@dataclass
class Correspondence:
    """Where root stands with a worker: its last request, the last one answered, whether it waits doing nothing.

    Every worker begins with request 1, which needs no message: first shares are on their way before anybody asks.
    """

    asked: int = 1
    answered: int = 0
    is_idle: bool = True


def coordinate(
    world: World,
    pending: Iterable[Segment],
    task: Task,
    *,
    time_left: Callable[[], float] = lambda: math.inf,
    slowest: float = 0.0,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> bool:
    """Compute all pending points; return True when none is left, False when the run was stopped before.

    Collective: all ranks of ``world`` must call this; all but ``world`` and ``task`` matters on root only.

    Args:
        world: The ranks.
        pending: The segments to compute.
        task: What to do with a point.
        time_left: Seconds until the run must have ended; root stops in time for the costliest point seen so far.
        slowest: Seconds of the costliest point of runs before.
        on_progress: Called often on root.
    """
    complete = False
    if world.is_root:
        complete = Root(world, pending, task, time_left, slowest, on_progress).run()
    else:
        Worker(world, task).run()
    if world.size > 1:
        barrier(world)
        while world.comm.Iprobe(tag=STOP_TAG):  # a stop that crossed with a last report
            world.comm.Recv(np.empty(0, dtype=np.int64), tag=STOP_TAG)
        while world.comm.Iprobe(tag=SHARE_TAG):  # a share that crossed with a stop
            world.comm.Recv(np.empty(3, dtype=np.int64), tag=SHARE_TAG)
    return broadcast(world, complete)


class Naps:
    """Sleeps between looks at the mail, growing from 50 microseconds to 2 ms, so that waiting costs no core."""

    def __init__(self) -> None:
        """Start with the shortest."""
        self._seconds = 5e-5

    def take(self) -> None:
        """Sleep once."""
        time.sleep(self._seconds)
        self._seconds = min(2 * self._seconds, 2e-3)


class Worker:
    """A rank that computes what root gives it."""

    def __init__(self, world: World, task: Task) -> None:
        """Join ``world``."""
        self._comm, self._root, self._task = world.comm, world.root, task
        self._outbox = Outbox(task, world)
        self._ticket = 0
        self._asked_to_stop = False
        self._sends: list[tuple[Any, Values]] = []  # buffers must live until their messages are out

    def run(self) -> None:
        """Ask, compute, report, until there is nothing more or a stop."""
        self._ticket += 1
        while share := self._next_share():
            for column in range(share.start, share.stop):
                is_last = column == share.stop - 1
                if is_last or column == share.start or self._outbox.is_due:
                    self._ticket += is_last  # asks one share ahead
                    self._report()
                self._outbox.add(share.row, column, self._task.compute(share.row, column, self._tick))
                if self._comm.Iprobe(source=self._root, tag=STOP_TAG):
                    break
        self._report(LEFT)
        naps = Naps()
        while not all(request.Test() for request, _ in self._sends):
            naps.take()

    def _next_share(self) -> Segment | None:
        """Wait for the answer to the last request; None where the rank should leave."""
        root_knows = self._ticket == 1  # that this rank is idle: at first all are
        naps = Naps()
        while not self._comm.Iprobe(source=self._root, tag=STOP_TAG):
            if self._comm.Iprobe(source=self._root, tag=SHARE_TAG):
                message = np.empty(3, dtype=np.int64)
                self._comm.Recv(message, source=self._root, tag=SHARE_TAG)
                share = Segment(*message.tolist())
                return share if len(share) else None
            if not root_knows:
                self._report(IDLE)
                root_knows = True
            self._tick()
            naps.take()
        return None

    def _tick(self) -> None:
        if not self._asked_to_stop and self._task.wants_stop():
            self._asked_to_stop = True
            self._send(WANTS_STOP, None)

    def _report(self, flags: int = 0) -> None:
        """Write what is finished, then tell root."""
        self._send(flags, self._outbox.flush())

    def _send(self, flags: int, results: tuple[Segment, Values] | None) -> None:
        segment, values = results or (Segment(0, 0, 0), np.empty((0, 0)))
        header = (self._ticket, flags, segment.row, segment.start, len(segment))
        message = np.concatenate([np.array(header, dtype=np.float64), values.ravel()])
        self._sends = [send for send in self._sends if not send[0].Test()]
        self._sends.append((self._comm.Isend(message, dest=self._root, tag=REPORT_TAG), message))


class Root:
    """Rank 0: hands out shares, takes in reports, and computes points in between."""

    def __init__(
        self,
        world: World,
        pending: Iterable[Segment],
        task: Task,
        time_left: Callable[[], float],
        slowest: float,
        on_progress: Callable[[Progress], None],
    ) -> None:
        """Take charge of ``pending``."""
        self._world, self._task, self._time_left, self._on_progress = world, task, time_left, on_progress
        self._outbox = Outbox(task, world)
        self._queue = deque(pending)
        self._remaining = sum(map(len, self._queue))
        self._progress = Progress(total=self._remaining, points=[0] * world.size, slowest=slowest)
        self._pace: dict[int, float] = {}  # rank -> seconds per point of its last results
        self._speed = 0.0  # points per second, of the ranks in _pace together
        self._workers = {rank: Correspondence() for rank in range(world.size) if rank != world.root}
        self._stopping = False

    def run(self) -> bool:
        """Compute and coordinate until every rank has left; return whether all points are done."""
        computes = self._world.size <= ROOT_COMPUTES_UP_TO
        self._tick()
        # Before the workers get theirs: the first pending point is root's, which can tell of it first.
        share = self._next_share() if computes else None
        for rank in self._workers:
            self._answer(rank)
        while share:
            for column in range(share.start, share.stop):
                self._outbox.add(share.row, column, self._task.compute(share.row, column, self._tick))
                if self._outbox.is_due:
                    self._take_in_own()
                self._tick()
                if self._stopping:
                    break
            self._take_in_own()
            share = self._next_share()
        naps = Naps()
        self._tick()
        while self._workers:
            naps.take()
            if self._look_after():
                naps = Naps()
        return self._progress.done == self._progress.total

    def _next_share(self) -> Segment | None:
        """Take root's own next share off the queue; None where nothing is left or the run stops."""
        return self._cut(self._world.root) if self._remaining and not self._stopping else None

    def _tick(self) -> None:
        """Look after the other ranks."""
        self._look_after()

    def _look_after(self) -> bool:
        """Stop where it is time to, read the mail and answer it; return whether there was mail."""
        margin = 1.1 * self._progress.slowest + 0.5
        if not self._stopping and (self._task.wants_stop() or self._time_left() <= margin):
            self._stop()
        news = self._read_mail()
        if not self._remaining:
            for rank in self._workers:
                self._answer(rank)  # requests that waited: there is nothing more
        self._on_progress(self._progress)
        return news

    def _read_mail(self) -> bool:
        """Read all mail and answer every request as it comes; return whether there was any."""
        news = False
        if not self._workers:
            return news
        from mpi4py import MPI  # here, as a run of one process needs none

        comm, status = self._world.comm, MPI.Status()
        misses = 0
        while misses < PROBES:
            if not comm.Iprobe(tag=REPORT_TAG, status=status):
                misses += 1
                continue
            news = True
            rank = status.Get_source()
            message = np.empty(status.Get_count(MPI.DOUBLE), dtype=np.float64)
            comm.Recv(message, source=rank, tag=REPORT_TAG)
            ticket, flags, row, start, count = message[:HEADER].astype(np.int64).tolist()
            if count:
                segment, values = Segment(row, start, start + count), message[HEADER:].reshape(count, -1)
                if self._task.collect is not None:
                    self._task.collect(segment, values, rank=rank)
                self._take_note(rank, values)
            worker = self._workers[rank]
            worker.asked, worker.is_idle = ticket, bool(flags & IDLE)
            if flags & WANTS_STOP and not self._stopping:
                self._stop()
            if flags & LEFT:
                del self._workers[rank]
            else:
                self._answer(rank)
        return news

    def _take_in_own(self) -> None:
        results = self._outbox.flush()
        if results is not None:
            self._take_note(self._world.root, results[1])

    def _take_note(self, rank: int, values: Values) -> None:
        seconds = values[:, -1].tolist()  # so few numbers are quicker without numpy
        self._progress.done += len(seconds)
        self._progress.points[rank] += len(seconds)
        self._progress.slowest = max(self._progress.slowest, *seconds)
        before, now = self._pace.get(rank, math.inf), max(sum(seconds) / len(seconds), 1e-9)
        self._pace[rank] = now
        self._speed += 1 / now - 1 / before

    def _stop(self) -> None:
        self._stopping = True
        for rank in self._workers:
            self._world.comm.Send(np.empty(0, dtype=np.int64), dest=rank, tag=STOP_TAG)

    def _answer(self, rank: int) -> None:
        """Give ``rank`` a share if it waits for one and its turn has come."""
        worker = self._workers[rank]
        if worker.asked == worker.answered or self._stopping:
            return
        if self._remaining and self._remaining <= self._meanwhile(rank) and not worker.is_idle:
            return  # few points are left: they go to whoever is free first
        share = self._cut(rank) if self._remaining else Segment(0, 0, 0)
        message = np.array([share.row, share.start, share.stop], dtype=np.int64)
        self._world.comm.Send(message, dest=rank, tag=SHARE_TAG)  # three numbers: eager, does not wait for the worker
        worker.answered = worker.asked

    def _meanwhile(self, rank: int) -> float:
        """Return how many points all ranks do while ``rank`` does one, by the pace they have shown; at least one."""
        if rank not in self._pace:
            return self._world.size
        everybody = self._speed * self._world.size / len(self._pace)
        return max(1.0, self._pace[rank] * everybody)

    def _cut(self, rank: int) -> Segment:
        """Take the next share for ``rank`` off the queue."""
        guided = math.ceil(self._remaining / (2 * self._meanwhile(rank)))
        at_most = max(SHARE_SECONDS, SECONDS_PER_RANK * self._world.size) / self._pace.get(rank, math.inf)
        first = self._queue.popleft()
        count = min(len(first), guided, max(1, int(at_most)))
        if count < len(first):
            self._queue.appendleft(Segment(first.row, first.start + count, first.stop))
        self._remaining -= count
        return Segment(first.row, first.start, first.start + count)
