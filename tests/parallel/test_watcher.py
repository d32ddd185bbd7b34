"""The process beside a rank, piece by piece."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lossgrid.parallel import watcher
from tests.pace import soon, stretch

DIED = "rank 1 of 2 on there ended without a word: killed, perhaps for lack of memory, or crashed"


class Watching(threading.Thread):
    """A watcher of rank 0 over rank 1, in a thread: the ends of its connections, and what it would end the job with.

    Its rank is the parent of the test.
    """

    def __init__(self, patience: float) -> None:
        super().__init__(daemon=True)
        self.rank, beside = socket.socketpair()
        ours, self.neighbour = socket.socketpair()
        for connection in (beside, ours):
            connection.setblocking(False)
        self.sockets = (self.rank, beside, ours, self.neighbour)
        self.process = watcher.Rank(os.getppid(), beside)
        neighbours = [watcher.Neighbour(1, "there", ours)]
        self.watcher = watcher.Watcher(0, 2, self.process, neighbours, patience)
        self.lost: str | None = None

    def run(self) -> None:
        self.lost = self.watcher.run()


@pytest.fixture
def watching() -> Iterator[Callable[[float], Watching]]:
    made: list[Watching] = []

    def make(patience: float) -> Watching:
        made.append(Watching(patience))
        return made[-1]

    yield make
    for one in made:
        for connection in one.sockets:
            connection.close()


def test_a_neighbour_that_speaks_is_alive_and_one_that_leaves_is_not_missed(
    watching: Callable[[float], Watching],
) -> None:
    pace = stretch()
    made = watching(0.8 * pace)
    made.start()
    for _ in range(8):
        made.neighbour.send(watcher.ALIVE)
        time.sleep(0.2 * pace)
    assert made.is_alive()
    made.neighbour.send(watcher.LEAVING)
    time.sleep(1.5 * pace)
    assert made.is_alive()  # its own rank has not left
    made.rank.send(watcher.LEAVING)
    made.join(timeout=3 * pace)
    assert not made.is_alive()
    assert made.lost is None
    assert watcher.LEAVING in made.neighbour.recv(1000)


def test_silence_and_a_broken_connection_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, watching: Callable[[float], Watching]
) -> None:
    monkeypatch.setattr(watcher, "GRACE", 0.2)
    silent = watching(0.5)
    silent.start()
    silent.join(timeout=soon(5))
    assert silent.lost is not None
    assert silent.lost.startswith("rank 1 of 2 on there has not been heard from for")
    broken = watching(60.0)
    broken.start()
    broken.neighbour.close()
    broken.join(timeout=soon(5))
    assert broken.lost == DIED


def test_a_neighbour_that_failed_has_time_to_end_the_job_itself(
    monkeypatch: pytest.MonkeyPatch, watching: Callable[[float], Watching]
) -> None:
    pace = stretch()
    monkeypatch.setattr(watcher, "GRACE", 0.1)
    monkeypatch.setattr(watcher, "FAILING_SECONDS", 0.8 * pace)
    made = watching(60.0)
    made.start()
    made.neighbour.send(watcher.FAILING)
    made.neighbour.close()
    made.join(timeout=0.5 * pace)
    assert made.is_alive()
    made.join(timeout=soon(5))
    assert made.lost == "rank 1 of 2 on there failed and could not end the job"


def test_what_the_rank_says_goes_on_to_the_neighbours(watching: Callable[[float], Watching]) -> None:
    made = watching(60.0)
    made.start()
    assert made.neighbour.recv(1) == watcher.ALIVE
    made.rank.send(watcher.FAILING)
    assert made.neighbour.recv(1) == watcher.FAILING


def test_beside_a_stopped_rank_it_says_nothing_and_judges_nobody(
    monkeypatch: pytest.MonkeyPatch, watching: Callable[[float], Watching]
) -> None:
    made = watching(0.5)
    monkeypatch.setattr(made.process, "is_stopped", lambda: True)
    made.start()
    time.sleep(1.5)
    made.neighbour.setblocking(False)
    with pytest.raises(BlockingIOError):
        made.neighbour.recv(1)
    assert made.is_alive()
    monkeypatch.setattr(made.process, "is_stopped", lambda: False)  # goes on, the neighbour does not
    made.join(timeout=soon(5))
    assert made.lost is not None
    assert "has not been heard from for" in made.lost


def test_it_ends_without_a_word_when_its_rank_has_gone(
    monkeypatch: pytest.MonkeyPatch, watching: Callable[[float], Watching]
) -> None:
    made = watching(60.0)
    made.start()
    monkeypatch.setattr(made.process, "process", 1 << 30)
    made.join(timeout=soon(5))
    assert not made.is_alive()
    assert made.lost is None


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a process named mpirun.x that waits for its child for long; return it, and the number of the child."""
    program = tmp_path / "mpirun.x"
    shutil.copy("/bin/sh", program)
    with subprocess.Popen(
        [program, "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        child = int(process.stdout.readline())
        while (facts := watcher.facts_of(child)) is not None and facts.name != "sleep":
            time.sleep(0.01)  # it has not begun yet
        yield process, child
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_an_mpirun_that_waits_for_ever_is_ended(launcher: tuple[subprocess.Popen[str], int]) -> None:
    process, rank = launcher
    assert process.stderr is not None
    found = watcher.Launcher(rank)
    assert found.is_there()
    assert process.poll() is None
    found.end(0.2)
    assert process.wait(timeout=soon(5)) == -signal.SIGKILL
    assert not found.is_there()
    assert "ranks have ended and mpirun has not" in process.stderr.readline()


def test_an_mpirun_that_ends_by_itself_is_left_alone(launcher: tuple[subprocess.Popen[str], int]) -> None:
    process, rank = launcher
    assert process.stderr is not None
    found = watcher.Launcher(rank)
    os.kill(rank, signal.SIGKILL)
    process.wait(timeout=soon(5))
    found.end(60.0)
    assert process.returncode >= 0
    assert process.stderr.read() == ""


def test_where_no_mpirun_is_above_a_rank_nothing_is_ended() -> None:
    found = watcher.Launcher(os.getpid())
    assert not found.is_there()
    found.end(0.0)


@pytest.mark.parametrize(("number", "is_stopped"), [(signal.SIGSTOP, True), (signal.SIGCONT, False)])
def test_a_stopped_process_is_known_by_its_state(number: signal.Signals, is_stopped: bool) -> None:
    ours, theirs = socket.socketpair()
    with subprocess.Popen(["sleep", "60"]) as process, ours, theirs:
        try:
            rank = watcher.Rank(process.pid, ours)
            process.send_signal(number)
            deadline = time.monotonic() + soon(5)
            while rank.is_stopped() != is_stopped and time.monotonic() < deadline:
                time.sleep(0.02)
            assert rank.is_stopped() == is_stopped
        finally:
            process.kill()


def test_a_process_whose_name_looks_like_a_state_is_not_stopped() -> None:
    ours, theirs = socket.socketpair()
    name = "x) T ("
    program = f"open('/proc/self/comm', 'w').write({name!r}); print(flush=True); input()"
    with (
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        ours,
        theirs,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        assert not watcher.Rank(process.pid, ours).is_stopped()
        process.communicate(b"\n")
