"""A rank that computes the shares that root sends it."""

from __future__ import annotations

from typing import Any

from lossgrid.parallel.mail import (
    IDLE,
    LEFT,
    REPORT_TAG,
    SHARE_TAG,
    STOP_TAG,
    WANTS_STOP,
    Message,
    Naps,
    Outbox,
    Report,
    receive_share,
)
from lossgrid.parallel.task import Task
from lossgrid.parallel.world import World
from lossgrid.surface import Results, Work


class Worker:
    """A rank that computes the shares that root sends it."""

    def __init__(self, world: World, task: Task) -> None:
        self._comm, self._root, self._task = world.comm, world.root, task
        self._outbox = Outbox(task.write, world.rank, world.size)
        self._ticket = 0
        self._asked_to_stop = False
        self._sends: list[tuple[Any, Message]] = []  # a buffer must live until MPI has sent it

    def run(self) -> None:
        """Ask, compute and report until no points are left or root sends a stop."""
        self._ticket += 1
        while share := self._next_share():
            for column in share.columns:
                is_last = column == share.columns[-1]
                if is_last or column == share.start or self._outbox.is_due:
                    self._ticket += is_last  # asks one share ahead
                    self._report()
                self._outbox.add(share, self._task.evaluate(share.point(column), self._tick))
                if self._comm.Iprobe(source=self._root, tag=STOP_TAG):
                    break
        self._report(LEFT)
        naps = Naps()
        while not all(request.Test() for request, _ in self._sends):
            naps.take()

    def _next_share(self) -> Work | None:
        """Wait for the answer to the last request and return the share; None if the rank should leave."""
        root_knows = self._ticket == 1  # that this rank is idle: at first all ranks are
        naps = Naps()
        while not self._comm.Iprobe(source=self._root, tag=STOP_TAG):
            if self._comm.Iprobe(source=self._root, tag=SHARE_TAG):
                return receive_share(self._comm, self._root)
            if not root_knows:
                self._report(IDLE)
                root_knows = True
            self._tick()
            naps.take()
        return None

    def _tick(self) -> None:
        if not self._asked_to_stop and self._task.seconds_left() <= 0:
            self._asked_to_stop = True
            self._send(WANTS_STOP, None)

    def _report(self, flags: int = 0) -> None:
        """Write the finished points, then send them to root."""
        self._send(flags, self._outbox.flush())

    def _send(self, flags: int, results: Results | None) -> None:
        message = Report(self._ticket, flags, results).packed()
        self._sends = [send for send in self._sends if not send[0].Test()]
        self._sends.append((self._comm.Isend(message, dest=self._root, tag=REPORT_TAG), message))
