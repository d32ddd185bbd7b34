"""Who is alive: ranks hear from each other, so that one that froze or vanished ends the job instead of hanging it.

MPI does not tell. Whoever waits for a frozen rank waits for ever, and not every launcher ends a job when a rank dies.
So every rank has a thread that sends a byte to its neighbours every few seconds and listens for theirs, whatever its
rank is doing: loading data, a batch of a minute, waiting in a collective. It uses TCP connections of its own, since few
MPI libraries like to be called from a second thread, and since the kernel closes those of a process that dies. The
neighbours are those in a tree, so that no rank has more than ``BRANCHES + 1`` of them and all hear, through each other,
of the end of any.

Where ranks cannot connect, the run goes on without, and says so.
"""

from __future__ import annotations

import logging
import os
import secrets
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from lossgrid.errors import EXIT_FAILED, LossgridError
from lossgrid.parallel.stop import SIGNALS
from lossgrid.parallel.world import PATIENCES_TO_START, World, abort, abort_guard, broadcast, gather, in_time

log = logging.getLogger(__name__)

BRANCHES = 32
ALIVE, LEAVING, FAILING = b".", b"l", b"f"
BEATS = 10  # within the patience: so many must be missed
CONNECT_SECONDS = 5.0
GRACE = 2.0  # s after a connection breaks: a launcher that ends the job itself is quicker, and says why
FAILING_SECONDS = 10.0  # in which a rank that failed should have ended the job
FAREWELL_SECONDS = 2.0
ABORT_SECONDS = 5.0
TOKEN_BYTES, RANK_BYTES = 16, 4


@dataclass(frozen=True)
class Address:
    """Where a rank listens: its host by name and number, and the port."""

    host: str
    numbers: tuple[str, ...]
    port: int

    def candidates(self, own_host: str) -> list[str]:
        """Return names and numbers to try, the likeliest first."""
        return [*(["localhost"] if self.host == own_host else []), self.host, *self.numbers]


@dataclass
class Neighbour:
    """A rank this one listens to.

    Attributes:
        rank: Its number.
        host: Its node.
        connection: To it, not blocking.
        heard: ``time.monotonic()`` when it was last heard from.
        ending: What it seems to have come to, None while it is well.
        ends: When that is to be believed.
    """

    rank: int
    host: str
    connection: socket.socket
    heard: float
    ending: str | None = None
    ends: float = 0.0


@contextmanager
def guarded(world: World, patience: float, *, advice: str = "") -> Iterator[None]:
    """End the whole job when the block raises what the ranks have not agreed on, or a rank is not heard from any more.

    Collective: all ranks of ``world`` must call this, with equal arguments. For all else see :func:`abort_guard` and
    :func:`watched`.
    """
    with abort_guard(world, advice=advice), watched(world, patience, advice=advice):
        yield


@contextmanager
def watched(world: World, patience: float, *, advice: str = "") -> Iterator[None]:
    """End the whole job when a rank is not heard from while the block runs.

    Collective: all ranks of ``world`` must call this, with equal arguments.

    Args:
        world: The ranks.
        patience: Seconds without a word after which a rank is taken for frozen; 0 to watch nothing.
        advice: Tells the user how to go on.
    """
    if world.size == 1 or patience == 0:
        yield
        return
    with in_time(str(world), PATIENCES_TO_START * patience):
        neighbours = meet(world)
    watch = Watch(world, neighbours, patience, advice)
    watch.start()
    try:
        yield
    except BaseException as error:
        if isinstance(error, LossgridError) and error.agreed:
            watch.leave()
        else:
            watch.say(FAILING)  # it has its own way of ending the job, and its own words
        raise
    watch.leave()


def meet(world: World) -> list[Neighbour]:
    """Connect the ranks as a tree: rank r listens to its parent ``(r - 1) // BRANCHES``.

    Collective: all ranks of ``world`` must call this.
    """
    with listen() as server:
        addresses = gather(world, Address(world.host, _numbers(world.host), server.getsockname()[1]))
        token = broadcast(world, secrets.token_bytes(TOKEN_BYTES))
        deadline = time.monotonic() + CONNECT_SECONDS
        parent = (world.rank - 1) // BRANCHES
        up = None if world.is_root else call(addresses[parent], world, token, deadline)
        first = world.rank * BRANCHES + 1
        children = range(first, min(first + BRANCHES, world.size))
        connections = receive(server, children, token, deadline)
        if up is not None and _read(up, TOKEN_BYTES, deadline) == token:
            connections[parent] = up
    missing = gather(world, [rank for rank in children if rank not in connections])
    unreachable = [rank for own in missing for rank in own]
    if unreachable and world.is_root:
        log.warning(
            "no TCP connection to %d ranks (%s, ...): if one of them freezes, the job hangs until its time limit",
            len(unreachable), unreachable[0],
        )  # fmt: skip
    now = time.monotonic()
    for connection in connections.values():
        connection.setblocking(False)
    return [Neighbour(rank, addresses[rank].host, own, now) for rank, own in connections.items()]


def listen() -> socket.socket:
    """Return a socket that listens on a free port, for IPv4 and IPv6 where there is both."""
    with suppress(OSError):
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", 0), family=socket.AF_INET6, backlog=BRANCHES, dualstack_ipv6=True)
    return socket.create_server(("", 0), backlog=BRANCHES)


def call(address: Address, world: World, token: bytes, deadline: float) -> socket.socket | None:
    """Connect to a rank and introduce this one; None where it cannot be reached."""
    for name in address.candidates(world.host):
        with suppress(OSError):  # also names that mean nothing here
            connection = socket.create_connection((name, address.port), timeout=max(0.1, deadline - time.monotonic()))
            connection.sendall(token + world.rank.to_bytes(RANK_BYTES, "big"))
            return connection
    return None


def receive(server: socket.socket, expected: range, token: bytes, deadline: float) -> dict[int, socket.socket]:
    """Take the calls of ``expected`` ranks until all have come or the deadline has; strangers are not let in."""
    connections: dict[int, socket.socket] = {}
    while len(connections) < len(expected) and time.monotonic() < deadline:
        server.settimeout(max(0.01, deadline - time.monotonic()))
        with suppress(OSError):
            connection, _ = server.accept()
            said = _read(connection, TOKEN_BYTES + RANK_BYTES, deadline)
            rank = int.from_bytes(said[TOKEN_BYTES:], "big")
            if said[:TOKEN_BYTES] == token and rank in expected:
                connection.sendall(token)
                connections[rank] = connection
            else:
                connection.close()
    return connections


def _read(connection: socket.socket, count: int, deadline: float) -> bytes:
    """Return up to ``count`` bytes, fewer where the deadline or the connection ends before."""
    said = b""
    with suppress(OSError):
        while len(said) < count:
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            more = connection.recv(count - len(said))
            if not more:
                break
            said += more
    return said


def _numbers(host: str) -> tuple[str, ...]:
    """Return the addresses this host has by its own account, where a name means nothing elsewhere."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return ()
    return tuple(sorted(number for number in found if not number.startswith("127.") and number != "::1"))


class Watch(threading.Thread):
    """The thread of a rank that hears its neighbours, and ends the job when one falls silent."""

    def __init__(self, world: World, neighbours: list[Neighbour], patience: float, advice: str) -> None:
        """Prepare to listen to ``neighbours``."""
        super().__init__(name="lossgrid-watch", daemon=True)
        self._world, self._patience, self._advice = world, patience, advice
        self._beat = patience / BEATS
        self._neighbours = neighbours
        self._left: set[int] = set()
        self._farewell: float | None = None

    def leave(self) -> None:
        """Tell the neighbours that this rank leaves in peace, and wait a moment for them to say the same."""
        self._farewell = time.monotonic() + FAREWELL_SECONDS
        self.say(LEAVING)
        self.join()

    def say(self, word: bytes) -> None:
        """Send a word to all neighbours."""
        for neighbour in self._neighbours:
            with suppress(OSError):  # a full buffer or a broken connection: reading finds out
                neighbour.connection.send(word)

    def run(self) -> None:
        """Listen and send, until everybody has left or somebody is lost."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # they are for the main thread
        with selectors.DefaultSelector() as selector:
            for neighbour in self._neighbours:
                selector.register(neighbour.connection, selectors.EVENT_READ, neighbour)
            before = sent = time.monotonic()
            while self._neighbours_left() and not self._is_over():
                for key, _ in selector.select(timeout=0.02 if self._farewell else min(self._beat, 0.5)):
                    if not self._hear(key.data):
                        selector.unregister(key.fileobj)
                now = time.monotonic()
                if now - before > self._patience / 2:
                    self._start_afresh(now)  # this process itself was stopped for a while, perhaps the whole job
                before = now
                if now - sent >= self._beat:
                    self.say(ALIVE)
                    sent = now
                if self._farewell is None:
                    self._judge(now)
        for neighbour in self._neighbours:
            neighbour.connection.close()

    def _neighbours_left(self) -> bool:
        return len(self._left) < len(self._neighbours)

    def _is_over(self) -> bool:
        return self._farewell is not None and time.monotonic() > self._farewell

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
            self._left.add(neighbour.rank)
            return False
        if FAILING in said:
            neighbour.ending, neighbour.ends = "failed and could not end the job", now + FAILING_SECONDS
        elif not said:
            if self._farewell is not None:
                self._left.add(neighbour.rank)
            if neighbour.ending is None:
                neighbour.ending = "ended without a word: killed, perhaps for lack of memory, or crashed"
                neighbour.ends = now + GRACE
            return False
        return True

    def _start_afresh(self, now: float) -> None:
        for neighbour in self._neighbours:
            neighbour.heard = now
            neighbour.ends = max(neighbour.ends, now + GRACE)

    def _judge(self, now: float) -> None:
        """End the job where a neighbour is lost; who is nearer to the root comes first, so that few speak."""
        for neighbour in self._neighbours:
            if neighbour.rank in self._left:
                continue
            is_parent = neighbour.rank < self._world.rank
            politeness = 1.0 + 0.5 * ((self._world.rank - 1) % BRANCHES) if is_parent else 0.0
            silent = now - neighbour.heard
            if neighbour.ending is not None:
                if now > neighbour.ends + politeness:
                    self._end(neighbour, neighbour.ending)
            elif silent > self._patience + politeness:
                self._end(
                    neighbour,
                    f"has not been heard from for {silent:.0f} s: frozen, stopped, or its node or the network is down "
                    "(--heartbeat says how long to wait)",
                )

    def _end(self, neighbour: Neighbour, ending: str) -> None:
        who = f"rank {neighbour.rank} of {self._world.size} on {neighbour.host}"
        sys.stderr.write(f"lossgrid: error: {who} {ending}; {self._advice}\n")
        sys.stderr.flush()
        # Not awaited: some libraries do not like to be called from this thread, and the job must end in any case.
        threading.Thread(target=abort, daemon=True).start()
        time.sleep(ABORT_SECONDS)
        os._exit(EXIT_FAILED)
