"""The watcher, a process beside a rank: sends its heartbeat, and ends the job when a neighbour is lost.

It is a program; :mod:`lossgrid.parallel.watch` starts it by the path of this file. It imports only a small part of the
standard library.

A rank is **alive** while its process exists and is not stopped (``SIGSTOP``, a debugger), by its state in ``/proc``. So
it is alive while it computes, waits in a collective, waits for a file system or a GPU that does not answer, or holds
Python's interpreter lock. The watcher cannot see whether the rank makes progress: a job without progress ends at its
time limit.

While its rank is stopped, the watcher sends nothing and judges no neighbour: a suspended job can go on later.

``mpirun`` waits for its daemons on other nodes, and for ever if a node is lost. So the watcher of a rank that has ended
without leaving as planned waits for ``mpirun`` to end, and kills it if it does not.
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
from typing import NamedTuple

ALIVE, LEAVING, FAILING, LOST = b".", b"l", b"f", b"x"
BRANCHES = 32  # most children of a rank in the tree
BEATS = 10  # heartbeats within the patience: a rank is lost after that many are missed
GRACE = 2.0  # s after a connection breaks: a launcher that ends the job itself acts sooner, and prints why
FAILING_SECONDS = 10.0  # for a rank that failed to end the job
FAREWELL_SECONDS = 2.0  # for the neighbours to leave too
ABORT_SECONDS = 7.0  # for the rank to end the job when it is told to; then it is killed
LINGER_SECONDS = 5.0  # for mpirun to end after its ranks, and the patience besides
LAUNCHERS = ("mpirun", "mpiexec", "orterun", "prterun")  # also with an ending, such as .hydra or .openmpi
POLITENESS = 0.5  # s that each further child of a rank waits longer, so that usually only one prints the error


class Rank:
    """The rank that this watcher belongs to: its process, and the socket to it."""

    def __init__(self, process: int, connection: socket.socket) -> None:
        self.process, self.connection = process, connection

    def is_gone(self) -> bool:
        """Return whether the process has ended: then this process has another parent."""
        return os.getppid() != self.process

    def is_stopped(self) -> bool:
        """Return whether the process is stopped; False if the system has no ``/proc``."""
        found = facts_of(self.process)
        return found is not None and found.state in "Tt"

    def kill(self) -> None:
        """Kill the process, even if its Python hangs."""
        if not self.is_gone():
            with suppress(OSError):
                os.kill(self.process, signal.SIGKILL)


class Facts(NamedTuple):
    """What ``/proc`` tells of a process: its name, state and parent, and when it started, in ticks since the boot."""

    name: str
    state: str
    parent: int
    started: int


def facts_of(process: int) -> Facts | None:
    """Return the facts of a process; None if there is none, or no ``/proc``."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as stat:  # noqa: PTH123  # pathlib loads long
            before, _, after = stat.read().rpartition(")")
        fields = after.split()
        return Facts(before.partition("(")[2], fields[0], int(fields[1]), int(fields[19]))
    except (OSError, IndexError):
        return None


class Launcher:
    """The ``mpirun`` above a rank; none where it runs on another node, or the launcher is another one."""

    def __init__(self, rank: int) -> None:
        """Find it among the parents of the process ``rank``, which must be alive."""
        self._process, self._facts = rank, facts_of(rank)
        while self._facts is not None and self._facts.name.partition(".")[0] not in LAUNCHERS:
            self._process = self._facts.parent
            self._facts = facts_of(self._process)

    def is_there(self) -> bool:
        """Return whether it has not ended; another process may have got its number."""
        found = facts_of(self._process)
        return found is not None and self._facts is not None and found.started == self._facts.started

    def end(self, seconds: float) -> None:
        """Kill it if it does not end by itself within ``seconds``."""
        deadline = time.monotonic() + seconds
        while self.is_there():
            if time.monotonic() > deadline:
                its_errors = f"/proc/{self._process}/fd/2"
                _print("ranks have ended and mpirun has not: it waits for a lost node, and is ended", its_errors)
                with suppress(OSError):
                    os.kill(self._process, signal.SIGKILL)
                return
            time.sleep(0.1)


class Neighbour:
    """A neighbour of this rank in the tree.

    Attributes:
        rank: Its number.
        host: Its node.
        connection: To its watcher, non-blocking.
        heard: ``time.monotonic()`` of its last heartbeat.
        ending: How it seems to have ended, in words; None while it is alive.
        ends: ``time.monotonic()`` after which ``ending`` is final.
        has_left: Whether it has reported that it is done.
    """

    def __init__(self, rank: int, host: str, connection: socket.socket) -> None:
        self.rank, self.host, self.connection = rank, host, connection
        self.heard = time.monotonic()
        self.ending: str | None = None
        self.ends = 0.0
        self.has_left = False


class Watcher:
    """The loop of the process: listens to its rank and the neighbours until all have left, or one is lost."""

    def __init__(self, number: int, size: int, rank: Rank, neighbours: list[Neighbour], patience: float) -> None:
        """Watch for rank ``number`` of ``size``; a neighbour is lost after ``patience`` seconds without heartbeat."""
        self._number, self._size, self._rank, self._neighbours = number, size, rank, neighbours
        self._patience = patience
        self._beat = patience / BEATS
        self._farewell: float | None = None

    @property
    def is_leaving(self) -> bool:
        """Whether its rank has left as planned."""
        return self._farewell is not None

    def run(self) -> str | None:
        """Listen and send; return how a neighbour was lost, None if all have left or the own rank has ended."""
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
                    return None  # the exit closes the connections, so the neighbours notice at once
                now = time.monotonic()
                is_stopped = self._rank.is_stopped()
                if is_stopped or now - before > self._patience / 2:
                    self._start_afresh(now)  # the rank or this process was stopped, perhaps the whole job
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
        """Send a byte to all neighbours."""
        for neighbour in self._neighbours:
            with suppress(OSError):  # a full buffer or a broken connection: _hear notices it
                neighbour.connection.send(word)

    def _is_over(self) -> bool:
        everybody_left = all(neighbour.has_left for neighbour in self._neighbours)
        return self._farewell is not None and (everybody_left or time.monotonic() > self._farewell)

    def _hear_rank(self) -> bool:
        """Pass a message of the rank on to the neighbours; return whether its connection is open."""
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
        """Read the messages of a neighbour; return whether more can come."""
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
        """Return which neighbour is lost and how, in words; None if none is.

        Ranks nearer to the root act first, so that usually only one prints the error.
        """
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
    """Watch; if a neighbour is lost, print it, ask the own rank to abort the job, and kill it if it does not."""
    given = json.loads(arguments)
    rank = Rank(given["process"], _connection(given["descriptor"]))
    neighbours = [Neighbour(number, host, _connection(descriptor)) for number, host, descriptor in given["links"]]
    launcher = Launcher(rank.process)
    watcher = Watcher(given["rank"], given["size"], rank, neighbours, given["patience"])
    lost = watcher.run()
    if watcher.is_leaving:
        return
    if lost is not None:
        _print(f"{lost}; {given['advice']}")
        with suppress(OSError):
            rank.connection.send(LOST)
        deadline = time.monotonic() + ABORT_SECONDS
        while not rank.is_gone() and time.monotonic() < deadline:
            time.sleep(0.05)
        rank.kill()
    _let_go_of_errors()
    launcher.end(given["patience"] + LINGER_SECONDS)


def _print(error: str, to: int | str = 2) -> None:
    with suppress(OSError), open(to, "a", encoding="utf-8", closefd=to != 2) as errors:
        errors.write(f"lossgrid: error: {error}\n")


def _let_go_of_errors() -> None:
    """Close the output that comes from the rank: mpirun waits until nobody can write to it any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _connection(descriptor: int) -> socket.socket:
    connection = socket.socket(fileno=descriptor)
    connection.setblocking(False)
    return connection


if __name__ == "__main__":
    main(sys.argv[1])
