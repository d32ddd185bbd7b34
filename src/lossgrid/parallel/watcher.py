"""The process beside a rank: tells its neighbours that the rank is alive, and ends the job when a neighbour is lost.

It is a program, which :mod:`lossgrid.parallel.watch` starts by the path of this file. It imports a small part of the
standard library and nothing else.

**Alive** is a rank whose process exists and is not stopped (``SIGSTOP``, a debugger), by its state in ``/proc``. So a
rank is alive while it computes, waits in a collective, waits for a file system or a GPU that does not answer, or holds
Python's interpreter lock. Whether it makes progress cannot be seen from outside; a job without any ends at its time
limit.

While its rank is stopped the watcher says nothing and judges nobody: a job that is suspended as a whole goes on.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress

ALIVE, LEAVING, FAILING, LOST = b".", b"l", b"f", b"x"
BRANCHES = 32  # of the tree of ranks: the most children a rank has
BEATS = 10  # within the patience: so many must be missed
GRACE = 2.0  # s after a connection breaks: a launcher that ends the job itself is quicker, and says why
FAILING_SECONDS = 10.0  # in which a rank that failed should have ended the job
FAREWELL_SECONDS = 2.0
ABORT_SECONDS = 7.0  # in which a rank that was told to ends the job; then it is killed
POLITENESS = 0.5  # s by which each further child of a rank lets it speak first


class Rank:
    """The rank this process stands beside: its process, and the socket that leads to it."""

    def __init__(self, process: int, connection: socket.socket) -> None:
        """Stand beside ``process``."""
        self.process, self.connection = process, connection

    def is_gone(self) -> bool:
        """Tell whether the process has ended; then another one has become the parent of this one."""
        return os.getppid() != self.process

    def is_stopped(self) -> bool:
        """Tell whether the process was stopped; False where the system has no ``/proc``."""
        try:
            with open(f"/proc/{self.process}/stat", "rb") as stat:  # noqa: PTH123  # pathlib takes long to load
                return stat.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
        except (OSError, IndexError):
            return False

    def kill(self) -> None:
        """End the process, also where Python in it cannot run."""
        if not self.is_gone():
            with suppress(OSError):
                os.kill(self.process, signal.SIGKILL)


class Neighbour:
    """A rank this one listens to.

    Attributes:
        rank: Its number.
        host: Its node.
        connection: To the process beside it, not blocking.
        heard: ``time.monotonic()`` when it was last heard from.
        ending: What it seems to have come to, None while it is well.
        ends: When that is to be believed.
        has_left: It has said that it is done.
    """

    def __init__(self, rank: int, host: str, connection: socket.socket) -> None:
        """Begin to listen now."""
        self.rank, self.host, self.connection = rank, host, connection
        self.heard = time.monotonic()
        self.ending: str | None = None
        self.ends = 0.0
        self.has_left = False


class Watcher:
    """What the process does: hears its rank and the neighbours until all have left, or one is lost."""

    def __init__(self, number: int, size: int, rank: Rank, neighbours: list[Neighbour], patience: float) -> None:
        """Stand beside rank ``number`` of ``size``, for which ``patience`` seconds of silence are too many."""
        self._number, self._size, self._rank, self._neighbours = number, size, rank, neighbours
        self._patience = patience
        self._beat = patience / BEATS
        self._farewell: float | None = None

    def run(self) -> str | None:
        """Listen and send; return how a rank was lost, None where all have left or this one has ended."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._rank.connection, selectors.EVENT_READ)
            for neighbour in self._neighbours:
                selector.register(neighbour.connection, selectors.EVENT_READ, neighbour)
            before = time.monotonic()
            sent = -self._beat
            while not self._is_over():
                for key, _ in selector.select(timeout=0.02 if self._farewell else min(self._beat, 0.5)):
                    may_say_more = self._hear_rank() if key.data is None else self._hear(key.data)
                    if not may_say_more:
                        selector.unregister(key.fileobj)
                if self._rank.is_gone():
                    return None  # with this process end the connections, which the neighbours see at once
                now = time.monotonic()
                is_stopped = self._rank.is_stopped()
                if is_stopped or now - before > self._patience / 2:
                    self._start_afresh(now)  # one of the two was stopped for a while, perhaps the whole job
                before = now
                if is_stopped:
                    continue
                if now - sent >= self._beat:
                    self._say(ALIVE)
                    sent = now
                lost = self._judge(now) if self._farewell is None else None
                if lost is not None:
                    return lost
        return None

    def _say(self, word: bytes) -> None:
        """Send a word to all neighbours."""
        for neighbour in self._neighbours:
            with suppress(OSError):  # a full buffer or a broken connection: reading finds out
                neighbour.connection.send(word)

    def _is_over(self) -> bool:
        everybody_left = all(neighbour.has_left for neighbour in self._neighbours)
        return self._farewell is not None and (everybody_left or time.monotonic() > self._farewell)

    def _hear_rank(self) -> bool:
        """Pass on what the rank says; return whether it may say more."""
        try:
            said = self._rank.connection.recv(16)
        except BlockingIOError:
            return True
        except OSError:
            said = b""
        if LEAVING in said:
            self._farewell = time.monotonic() + FAREWELL_SECONDS
            self._say(LEAVING)
        elif FAILING in said:
            self._say(FAILING)
        return bool(said)

    def _hear(self, neighbour: Neighbour) -> bool:
        """Read what a neighbour said; return whether it may say more."""
        try:
            said = neighbour.connection.recv(4096)
        except BlockingIOError:
            return True
        except OSError:
            said = b""
        now = time.monotonic()
        neighbour.heard = now
        if LEAVING in said:
            neighbour.has_left = True
            return False
        if FAILING in said:
            neighbour.ending, neighbour.ends = "failed and could not end the job", now + FAILING_SECONDS
        elif not said:
            if self._farewell is not None:
                neighbour.has_left = True
            if neighbour.ending is None:
                neighbour.ending = "ended without a word: killed, perhaps for lack of memory, or crashed"
                neighbour.ends = now + GRACE
            return False
        return True

    def _start_afresh(self, now: float) -> None:
        for neighbour in self._neighbours:
            neighbour.heard = now
            neighbour.ends = max(neighbour.ends, now + GRACE)

    def _judge(self, now: float) -> str | None:
        """Say which neighbour is lost and how; who is nearer to the root comes first, so that few speak."""
        for neighbour in self._neighbours:
            if neighbour.has_left:
                continue
            is_parent = neighbour.rank < self._number
            politeness = 1.0 + POLITENESS * ((self._number - 1) % BRANCHES) if is_parent else 0.0
            silent = now - neighbour.heard
            who = f"rank {neighbour.rank} of {self._size} on {neighbour.host}"
            if neighbour.ending is not None:
                if now > neighbour.ends + politeness:
                    return f"{who} {neighbour.ending}"
            elif silent > self._patience + politeness:
                return (
                    f"{who} has not been heard from for {silent:.0f} s: frozen, stopped, or its node or the network is "
                    "down (--heartbeat says how long to wait)"
                )
        return None


def main(arguments: str) -> None:
    """Watch; end the job where a rank is lost: say so, have the rank end all, and kill it where it cannot."""
    given = json.loads(arguments)
    rank = Rank(given["process"], _connection(given["descriptor"]))
    neighbours = [Neighbour(number, host, _connection(descriptor)) for number, host, descriptor in given["links"]]
    lost = Watcher(given["rank"], given["size"], rank, neighbours, given["patience"]).run()
    if lost is None:
        return
    sys.stderr.write(f"lossgrid: error: {lost}; {given['advice']}\n")
    sys.stderr.flush()
    with suppress(OSError):
        rank.connection.send(LOST)
    deadline = time.monotonic() + ABORT_SECONDS
    while not rank.is_gone() and time.monotonic() < deadline:
        time.sleep(0.05)
    rank.kill()


def _connection(descriptor: int) -> socket.socket:
    connection = socket.socket(fileno=descriptor)
    connection.setblocking(False)
    return connection


if __name__ == "__main__":
    main(sys.argv[1])
