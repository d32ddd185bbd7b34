"""How ranks find each other, whatever addresses their hosts have."""

import queue
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lossgrid.machine.network import own_addresses
from lossgrid.parallel import tree
from lossgrid.parallel.world import World
from tests.pace import stretch

TOKEN = b"t" * tree.TOKEN_BYTES
HERE = World(comm=None, rank=1, size=2, local_rank=0, local_size=1, host="here")


def greeting(rank: int, token: bytes = TOKEN) -> bytes:
    return token + rank.to_bytes(tree.RANK_BYTES, "big")


class Receiving:
    """A rank that takes the calls of ranks 1 and 2, in a thread."""

    def __init__(self, seconds: float) -> None:
        self.pace = stretch()
        self.server = tree.open_server()
        self.port = self.server.getsockname()[1]
        self.found: dict[int, socket.socket] = {}
        self.callers: list[socket.socket] = []
        self.began = time.monotonic()
        self.thread = threading.Thread(target=self._receive, args=(self.began + seconds * self.pace,), daemon=True)
        self.thread.start()

    def _receive(self, deadline: float) -> None:
        self.found = tree.receive(self.server, range(1, 3), TOKEN, deadline)

    def call(self, said: bytes) -> socket.socket:
        caller = socket.create_connection(("localhost", self.port))
        caller.sendall(said)
        self.callers.append(caller)
        return caller

    def close(self) -> None:
        self.thread.join(timeout=10 * self.pace)
        for connection in (self.server, *self.callers, *self.found.values()):
            connection.close()


@pytest.fixture
def receiving() -> Iterator[Receiving]:
    made = Receiving(8.0)
    yield made
    made.close()


def test_strangers_and_wrong_words_are_not_let_in(receiving: Receiving) -> None:
    for said in (b"hello", greeting(1, b"x" * tree.TOKEN_BYTES), greeting(7)):
        receiving.call(said).shutdown(socket.SHUT_WR)
    callers = [receiving.call(greeting(rank)) for rank in (1, 2)]
    receiving.thread.join(timeout=5 * receiving.pace)
    assert sorted(receiving.found) == [1, 2]
    assert [caller.recv(tree.TOKEN_BYTES) for caller in callers] == [TOKEN, TOKEN]


def test_callers_that_say_nothing_keep_nobody_waiting(receiving: Receiving) -> None:
    for said in (b"", b"", TOKEN, b"t"):  # nothing, or not all of it, and then silence
        receiving.call(said)
    time.sleep(0.2)
    for rank in (1, 2):
        receiving.call(greeting(rank))
    receiving.thread.join(timeout=4 * receiving.pace)
    assert sorted(receiving.found) == [1, 2]
    assert time.monotonic() - receiving.began < 4 * receiving.pace


def test_a_greeting_that_comes_byte_by_byte_is_understood(receiving: Receiving) -> None:
    receiving.call(greeting(2))
    slow = receiving.call(b"")
    for byte in greeting(1):
        slow.sendall(bytes([byte]))
        time.sleep(0.01)
    receiving.thread.join(timeout=4 * receiving.pace)
    assert sorted(receiving.found) == [1, 2]


def test_of_several_calls_of_one_rank_one_is_answered(receiving: Receiving) -> None:
    first, second = receiving.call(greeting(1)), receiving.call(greeting(1))
    receiving.call(greeting(2))
    receiving.thread.join(timeout=4 * receiving.pace)
    answers = sorted([first.recv(tree.TOKEN_BYTES), second.recv(tree.TOKEN_BYTES)])
    assert answers == [b"", TOKEN]


def called(address: tree.Address, seconds: float = 4.0) -> socket.socket | None:
    try:
        return tree.call(address, HERE, TOKEN, time.monotonic() + seconds).get(timeout=seconds)
    except queue.Empty:
        return None


def test_one_good_address_among_many_bad_ones_is_enough(receiving: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host's name may lead to a network that drops packets, and to an address that is another host's."""
    create = socket.create_connection

    def connect(address: tuple[str, int], timeout: float = 5.0) -> Any:
        if address[0] == "drops.packets":
            time.sleep(timeout)
            raise TimeoutError
        return create(address, timeout)

    monkeypatch.setattr(socket, "create_connection", connect)
    pace, began = stretch(), time.monotonic()
    numbers = ("drops.packets", "no-such-host.invalid", "127.0.0.1")
    found = called(tree.Address("drops.packets", numbers, receiving.port), 4 * pace)
    assert found is not None
    assert time.monotonic() - began < 3 * pace
    found.close()
    receiving.call(greeting(2))  # so that nobody waits for it


def test_a_server_of_another_job_on_the_same_port_is_not_taken_for_the_rank() -> None:
    with socket.create_server(("", 0)) as other:

        def answer() -> None:
            caller, _ = other.accept()
            caller.recv(100)
            caller.sendall(b"x" * tree.TOKEN_BYTES)
            caller.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        assert called(tree.Address("no-such-host.invalid", ("127.0.0.1",), other.getsockname()[1]), 2.0) is None
        thread.join(timeout=5)


def test_who_cannot_be_reached_gives_no_connection() -> None:
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    assert called(tree.Address("no-such-host.invalid", ("127.0.0.1",), port), 1.0) is None


def test_a_host_tells_the_addresses_of_its_interfaces_also_where_its_name_leads_to_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.1.1", 0))]  # /etc/hosts as Debian writes it
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: own)
    found = own_addresses("here")
    assert not [number for number in found if number.startswith("127.") or number == "::1"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; tells which interface would
        except OSError:
            pytest.skip("NOT RUN: this host has no network")
        assert probe.getsockname()[0] in found
