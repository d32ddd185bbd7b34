"""Ranks that hear from each other, under mpiexec."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lossgrid.parallel import watch
from lossgrid.parallel.world import World

SECONDS_TO_END = 12
Watching = Callable[[float], tuple[watch.Watch, socket.socket, list[str]]]


def began(text: str) -> float:
    found = re.search(r"began ([\d.]+)", text)
    assert found is not None, text
    return float(found[1])


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("case", ["peace", "refusal"])
def test_ranks_that_are_well_are_left_alone(start: Any, program: Any, ranks: int, case: str) -> None:
    done = start(ranks, program("watching.py"), case)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all left\n"
    assert done.stderr == ""


def test_a_job_that_was_suspended_as_a_whole_goes_on(start: Any, program: Any) -> None:
    done = start(3, program("watching.py"), "stopped together")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all left\n"


@pytest.mark.parametrize(("case", "victim"), [("freezes", 2), ("root freezes", 0)])
def test_a_frozen_rank_ends_the_job_and_is_named(start: Any, program: Any, case: str, victim: int) -> None:
    done = start(3, program("watching.py"), case)
    assert done.returncode != 0
    assert time.time() - began(done.stderr) < SECONDS_TO_END
    assert f"error: rank {victim} of 3 on {socket.gethostname()} has not been heard from for" in done.stderr
    assert "start again" in done.stderr


@pytest.mark.parametrize("case", ["dies", "root dies"])
def test_a_killed_rank_ends_the_job(start: Any, program: Any, case: str) -> None:
    done = start(3, program("watching.py"), case)
    assert done.returncode != 0
    assert time.time() - began(done.stderr) < SECONDS_TO_END


def test_a_rank_that_fails_has_the_word(start: Any, program: Any) -> None:
    done = start(3, program("watching.py"), "fails")
    assert done.returncode == 1
    assert "ZeroDivisionError: a fault nobody expected" in done.stderr
    assert "ended without a word" not in done.stderr


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watching]:
    """Return a function that makes a watch of rank 0 over rank 1, the latter's end of their connection, and a list.

    Into the list goes what the watch would end the job with.
    """
    ends: list[socket.socket] = []

    def make(patience: float) -> tuple[watch.Watch, socket.socket, list[str]]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        ends.append(theirs)
        world = World(comm=None, rank=0, size=2, local_rank=0, local_size=2, host="here")
        made = watch.Watch(world, [watch.Neighbour(1, "there", ours, time.monotonic())], patience, "start again")
        endings: list[str] = []

        def end(lost: watch.Neighbour, ending: str) -> None:
            endings.append(ending)
            made._left.add(lost.rank)

        monkeypatch.setattr(made, "_end", end)
        return made, theirs, endings

    yield make
    for end in ends:
        end.close()


def test_a_neighbour_that_speaks_is_alive_and_one_that_leaves_is_not_missed(watching: Watching) -> None:
    made, theirs, endings = watching(0.5)
    made.start()
    for _ in range(8):
        theirs.send(watch.ALIVE)
        time.sleep(0.15)
    assert made.is_alive()
    theirs.send(watch.LEAVING)
    made.join(timeout=2)
    assert not made.is_alive()
    assert endings == []


def test_silence_and_a_broken_connection_are_told_apart(monkeypatch: pytest.MonkeyPatch, watching: Watching) -> None:
    monkeypatch.setattr(watch, "GRACE", 0.2)
    silent, _, endings = watching(0.5)
    silent.start()
    silent.join(timeout=3)
    assert len(endings) == 1
    assert endings[0].startswith("has not been heard from for")
    broken, theirs, endings = watching(60.0)
    broken.start()
    theirs.close()
    broken.join(timeout=3)
    assert endings == ["ended without a word: killed, perhaps for lack of memory, or crashed"]


def test_a_neighbour_that_failed_has_time_to_end_the_job_itself(
    monkeypatch: pytest.MonkeyPatch, watching: Watching
) -> None:
    monkeypatch.setattr(watch, "GRACE", 0.1)
    monkeypatch.setattr(watch, "FAILING_SECONDS", 0.8)
    made, theirs, endings = watching(60.0)
    made.start()
    theirs.send(watch.FAILING)
    theirs.close()
    made.join(timeout=0.5)
    assert endings == []
    made.join(timeout=3)
    assert endings == ["failed and could not end the job"]


def test_strangers_and_wrong_words_are_not_let_in() -> None:
    token = b"t" * watch.TOKEN_BYTES
    with watch.listen() as server:
        port = server.getsockname()[1]
        found: dict[int, socket.socket] = {}
        deadline = time.monotonic() + 3
        thread = threading.Thread(
            target=lambda: found.update(watch.receive(server, range(1, 3), token, deadline)), daemon=True
        )
        thread.start()
        callers = []
        for said in (b"hello", b"x" * watch.TOKEN_BYTES + bytes(4), token + (7).to_bytes(4, "big")):
            caller = socket.create_connection(("localhost", port))
            caller.sendall(said)
            caller.shutdown(socket.SHUT_WR)
            callers.append(caller)
        for rank in (1, 2):
            caller = socket.create_connection(("localhost", port))
            caller.sendall(token + rank.to_bytes(4, "big"))
            callers.append(caller)
        thread.join(timeout=5)
        assert sorted(found) == [1, 2]
        assert callers[-1].recv(watch.TOKEN_BYTES) == token
        for connection in (*callers, *found.values()):
            connection.close()


def test_who_cannot_be_reached_is_none() -> None:
    world = World(comm=None, rank=1, size=2, local_rank=0, local_size=1, host="here")
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    address = watch.Address("no-such-host.invalid", ("127.0.0.1",), port)
    assert watch.call(address, world, b"t" * watch.TOKEN_BYTES, time.monotonic() + 1) is None
