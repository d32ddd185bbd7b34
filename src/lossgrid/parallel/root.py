"""Rank 0: hands out shares, receives reports, and computes points in between."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lossgrid.parallel.mail import (
    IDLE,
    LEFT,
    REPORT_TAG,
    SHARE_TAG,
    STOP_TAG,
    WANTS_STOP,
    Correspondence,
    Naps,
    Outbox,
    share_of,
    unpacked,
)
from lossgrid.parallel.shares import Shares
from lossgrid.parallel.task import Plan, Progress, Task
from lossgrid.parallel.world import World
from lossgrid.surface import Results, Work

ROOT_COMPUTES_UP_TO = 1000  # ranks; benchmarks/simulation.py shows what it costs beyond
PROBES = 5  # misses before the mail counts as read: MPI may need several probes to receive a message


class Root:
    """Rank 0: hands out shares, receives reports, and computes points in between."""

    def __init__(
        self,
        world: World,
        plan: Plan,
        task: Task,
        slowest: float,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._world, self._task, self._on_progress = world, task, on_progress
        self._outbox = Outbox(task.write, world.rank, world.size)
        self._plan, self._shares = plan, Shares(world.size)
        self._given, self._left = 0, plan.remaining  # points handed out, and those that the plan knows it will
        self._is_dry = False  # whether the plan had no point to give, and has been told no results since
        self._progress = Progress(total=self._left, points=[0] * world.size, slowest=slowest)
        self._workers = {rank: Correspondence() for rank in range(world.size) if rank != world.root}
        self._starved: set[int] = set()  # ranks whose requests wait for results of other points
        self._stopping = False

    def run(self) -> bool:
        """Compute and coordinate until every rank has left; return whether all points are done."""
        computes = self._world.size <= ROOT_COMPUTES_UP_TO
        self._look_after()
        # Before the workers get theirs: the first pending point is root's, so it needs no message to be known.
        share = self._next_share() if computes else None
        for rank in self._workers:
            self._answer(rank)
        while share:
            for column in share.columns:
                self._outbox.add(share, self._task.evaluate(share.point(column), self._look_after))
                if self._outbox.is_due:
                    self._take_in_own()
                self._look_after()
                if self._stopping:
                    break
            self._take_in_own()
            share = self._next_share()
        naps = Naps()
        self._look_after()
        while self._workers:
            naps.take()
            if self._look_after():
                naps = Naps()
        return self._plan.is_over and self._progress.done == self._given

    def _next_share(self) -> Work | None:
        """Return root's own next share; None if no points are left or the run stops."""
        naps = Naps()
        while not (self._plan.is_over or self._stopping):
            share = self._cut(self._world.root)
            if share is not None:
                return share
            self._look_after()  # the next points depend on results of other ranks
            naps.take()
        return None

    def _look_after(self) -> bool:
        """Stop the run if its time is over, read and answer the mail; return whether there was any."""
        margin = 1.1 * self._progress.slowest + 0.5
        if not self._stopping and self._task.seconds_left() <= margin:
            self._stop()
        news = self._read_mail()
        for rank in tuple(self._workers if self._plan.is_over else () if self._is_dry else self._starved):
            self._answer(rank)
            if self._is_dry:
                break
        self._progress.total = self._given + self._left
        self._on_progress(self._progress)
        return news

    def _read_mail(self) -> bool:
        """Read all mail and answer each request at once; return whether there was any mail."""
        news = False
        if not self._workers:
            return news
        from mpi4py import MPI  # imported here: a run of one process needs no MPI

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
            report = unpacked(message)
            if report.results is not None:
                if self._task.collect is not None:
                    self._task.collect(report.results, rank=rank)
                self._take_note(rank, report.results)
            worker = self._workers[rank]
            worker.asked, worker.is_idle = report.ticket, bool(report.flags & IDLE)
            if report.flags & WANTS_STOP and not self._stopping:
                self._stop()
            if report.flags & LEFT:
                del self._workers[rank]
                self._starved.discard(rank)
            else:
                self._answer(rank)
        return news

    def _take_in_own(self) -> None:
        results = self._outbox.flush()
        if results is not None:
            self._take_note(self._world.root, results)

    def _take_note(self, rank: int, results: Results) -> None:
        seconds = results.seconds.tolist()  # Python is faster than numpy on so few numbers
        self._progress.done += len(seconds)
        self._progress.points[rank] += len(seconds)
        self._progress.slowest = max(self._progress.slowest, *seconds)
        self._shares.note(rank, seconds)
        self._plan.tell(results)
        self._left, self._is_dry = self._plan.remaining, False

    def _stop(self) -> None:
        self._stopping = True
        for rank in self._workers:
            self._world.comm.Send(np.empty(0, dtype=np.int64), dest=rank, tag=STOP_TAG)

    def _answer(self, rank: int) -> None:
        """Send ``rank`` a share if it has an unanswered request and may have points now."""
        worker = self._workers[rank]
        if not worker.is_waiting or self._stopping:
            return
        share = None
        if not self._plan.is_over:
            if self._left <= self._shares.meanwhile(rank) and not worker.is_idle:
                return  # few points are left: they go to the rank that is idle first
            share = self._cut(rank)
            if share is None:
                self._starved.add(rank)  # the next points depend on points being computed
                return
        # MPI sends five numbers eagerly: Send does not wait for the worker.
        self._world.comm.Send(share_of(share), dest=rank, tag=SHARE_TAG)
        worker.answered = worker.asked
        self._starved.discard(rank)

    def _cut(self, rank: int) -> Work | None:
        """Return the next share for ``rank`` from the plan; None if the plan has no points yet."""
        if self._is_dry:  # what it had for nobody, it has not for this rank
            return None
        work = self._plan.ask(self._shares.size_for(rank, self._left))
        self._given += 0 if work is None else len(work)
        self._left, self._is_dry = self._plan.remaining, work is None
        return work
