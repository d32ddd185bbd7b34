"""TCP connections among ranks, in the shape of a tree: rank r is connected to its parent ``(r - 1) // BRANCHES``.

No rank has more than ``BRANCHES + 1`` connections, and the end of any rank reaches all ranks through the tree. A host
may have many addresses, and only some can be reached from another host. So every rank publishes all its addresses, and
its children try all of them at once. They send a secret token, which MPI broadcasts: other connections are closed.
"""

from __future__ import annotations

import logging
import queue
import secrets
import selectors
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from lossgrid.machine.network import own_addresses
from lossgrid.parallel.collective import collective
from lossgrid.parallel.watcher import BRANCHES
from lossgrid.parallel.world import World, broadcast, gather

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0  # for all connections; ranks that are not connected by then are not watched
TOKEN_BYTES, RANK_BYTES = 16, 4
GREETING_BYTES = TOKEN_BYTES + RANK_BYTES


@dataclass(frozen=True)
class Address:
    """Where a rank listens: the name of its host, the addresses of its interfaces, and the port."""

    host: str
    numbers: tuple[str, ...]
    port: int

    def candidates(self, own_host: str) -> list[str]:
        """Return names and addresses under which ``own_host`` may reach this host."""
        return [*(["localhost"] if self.host == own_host else []), self.host, *self.numbers]


@dataclass(frozen=True)
class Link:
    """A connection to another rank: its number, its host, and a socket in non-blocking mode."""

    rank: int
    host: str
    connection: socket.socket


@collective
def connect_ranks(world: World) -> list[Link]:
    """Connect the ranks as a tree and return the links of this rank; warn if some cannot be connected."""
    with open_server() as server:
        addresses = gather(world, Address(world.host, own_addresses(world.host), server.getsockname()[1]))
        token = broadcast(world, secrets.token_bytes(TOKEN_BYTES))
        deadline = time.monotonic() + CONNECT_SECONDS
        parent = (world.rank - 1) // BRANCHES
        answer = None if world.is_root else call(addresses[parent], world, token, deadline)
        first = world.rank * BRANCHES + 1
        connections = receive(server, range(first, min(first + BRANCHES, world.size)), token, deadline)
        if answer is not None:
            with suppress(queue.Empty):
                connections[parent] = answer.get(timeout=max(0.0, deadline - time.monotonic()))
    # One end may have given up just as the other end succeeded: only connections that both ends have are links.
    known = gather(world, tuple(connections))
    links = []
    for rank, connection in connections.items():
        if world.rank in known[rank]:
            connection.setblocking(False)
            links.append(Link(rank, addresses[rank].host, connection))
        else:
            connection.close()
    parents = [(rank, (rank - 1) // BRANCHES) for rank in range(1, world.size)]
    apart = [rank for rank, parent in parents if parent not in known[rank] or rank not in known[parent]]
    if apart and world.is_root:
        log.warning(
            "no TCP connection to %d ranks (%s, ...): if one of them freezes, the job hangs until its time limit",
            len(apart), apart[0],
        )  # fmt: skip
    return links


def open_server() -> socket.socket:
    """Return a socket that listens on a free port, for IPv4 and, if the host has it, IPv6."""
    backlog = 8 * BRANCHES  # every child may connect to several addresses at once
    with suppress(OSError):
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", 0), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)
    return socket.create_server(("", 0), backlog=backlog)


def call(address: Address, world: World, token: bytes, deadline: float) -> queue.Queue[socket.socket]:
    """Connect to a rank on all its addresses at once; return a queue that gets the connection it accepts.

    A rank accepts one connection of each other rank, so the queue gets at most one. It gets none if no address can be
    reached before the deadline.
    """
    answers: queue.Queue[socket.socket] = queue.Queue()

    def try_one(name: str) -> None:
        with suppress(OSError):  # also for names that this host cannot resolve
            connection = socket.create_connection((name, address.port), timeout=max(0.1, deadline - time.monotonic()))
            connection.sendall(token + world.rank.to_bytes(RANK_BYTES, "big"))
            if _read(connection, TOKEN_BYTES, deadline) == token:
                answers.put(connection)
            else:
                connection.close()

    for name in address.candidates(world.host):
        threading.Thread(target=try_one, args=(name,), daemon=True).start()
    return answers


def receive(server: socket.socket, expected: range, token: bytes, deadline: float) -> dict[int, socket.socket]:
    """Accept the connections of ``expected`` ranks until all are there or the deadline passes; return them by rank.

    Connections without the token are closed. A silent connection does not delay the others.
    """
    connections: dict[int, socket.socket] = {}
    said: dict[socket.socket, bytes] = {}  # greetings that are not complete yet
    server.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        while len(connections) < len(expected) and time.monotonic() < deadline:
            for key, _ in selector.select(timeout=max(0.0, deadline - time.monotonic())):
                if key.fileobj is server:
                    with suppress(OSError):
                        caller, _ = server.accept()
                        caller.setblocking(False)
                        said[caller] = b""
                        selector.register(caller, selectors.EVENT_READ)
                    continue
                caller = key.fileobj  # type: ignore[assignment]
                more = b""
                with suppress(OSError):
                    more = caller.recv(GREETING_BYTES - len(said[caller]))
                said[caller] += more
                if more and len(said[caller]) < GREETING_BYTES:
                    continue
                selector.unregister(caller)
                greeting = said.pop(caller)
                rank = int.from_bytes(greeting[TOKEN_BYTES:], "big")
                is_welcome = secrets.compare_digest(greeting[:TOKEN_BYTES], token) and len(greeting) == GREETING_BYTES
                if is_welcome and rank in expected and rank not in connections and _answer(caller, token):
                    connections[rank] = caller
                else:
                    caller.close()
    for caller in said:
        caller.close()
    return connections


def _answer(caller: socket.socket, token: bytes) -> bool:
    """Send the token to a caller; return whether it can still be reached."""
    try:
        return caller.send(token) == len(token)
    except OSError:
        return False


def _read(connection: socket.socket, count: int, deadline: float) -> bytes:
    """Return up to ``count`` bytes; fewer if the deadline passes or the connection ends before."""
    said = b""
    with suppress(OSError):
        while len(said) < count:
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            more = connection.recv(count - len(said))
            if not more:
                break
            said += more
    return said
