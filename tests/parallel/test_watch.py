"""Ranks that hear from each other, under mpiexec."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lossgrid.parallel import watch
from tests.conftest import command_line, environment
from tests.families import family
from tests.pace import soon

SECONDS_TO_END = 12
SECONDS_TO_VANISH = 5
PATIENCE = 2


def began(text: str) -> float:
    found = re.search(r"began ([\d.]+)", text)
    assert found is not None, text
    return float(found[1])


def processes(text: str) -> list[int]:
    """Return the processes of all ranks, their own and those beside them, as the ranks have said."""
    found = re.findall(r"processes ([\d ]+) of \d+", text)
    return [int(process) for line in found for process in line.split()]


def are_gone(found: list[int], seconds: float = SECONDS_TO_VANISH) -> bool:
    """Tell whether no process of ``found`` is left within some seconds."""
    deadline = time.monotonic() + soon(seconds)
    left = set(found)
    while left and time.monotonic() < deadline:
        left = {process for process in left if is_there(process)}
        time.sleep(0.05)
    return not left


def is_there(process: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def said_by_others(text: str) -> str:
    """Return what was written besides the lines of the test itself."""
    return "".join(line for line in text.splitlines(True) if not line.startswith(("processes ", "began ")))


@pytest.mark.parametrize(
    ("ranks", "case"),
    family(
        (1, 2, 3, 4), ("peace", "refusal"), full=[(1, "peace"), (2, "refusal"), (3, "peace"), (3, "refusal")]
    ),
)  # fmt: skip
def test_ranks_that_are_well_are_left_alone(start: Any, program: Any, ranks: int, case: str) -> None:
    done = start(ranks, program("watching.py"), case, soon(PATIENCE))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all left\n"
    assert said_by_others(done.stderr) == ""
    found = processes(done.stderr)
    assert len(found) == (1 if ranks == 1 else 2 * ranks)
    assert are_gone(found)


@pytest.mark.parametrize("case", ["stopped together", "watchers and ranks stopped together"])
def test_a_job_that_was_suspended_as_a_whole_goes_on(start: Any, program: Any, case: str) -> None:
    done = start(3, program("watching.py"), case, soon(PATIENCE))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all left\n"


@pytest.mark.parametrize(
    ("ranks", "case"),
    family((2, 3), ("keeps the lock", "root keeps the lock"), full=[(2, "root keeps the lock"), (3, "keeps the lock")]),
)
def test_a_rank_that_keeps_the_interpreter_lock_is_alive(start: Any, program: Any, ranks: int, case: str) -> None:
    done = start(ranks, program("watching.py"), case, soon(PATIENCE))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all left\n"
    assert said_by_others(done.stderr) == ""


@pytest.mark.parametrize(("case", "victim"), [("freezes", 2), ("root freezes", 0)])
def test_a_frozen_rank_ends_the_job_and_is_named(start: Any, program: Any, case: str, victim: int) -> None:
    done = start(3, program("watching.py"), case, soon(PATIENCE))
    assert done.returncode != 0
    assert time.time() - began(done.stderr) < soon(SECONDS_TO_END)
    assert f"error: rank {victim} of 3 on {socket.gethostname()} has not been heard from for" in done.stderr
    assert "start again" in done.stderr
    assert are_gone(processes(done.stderr))


def test_a_frozen_rank_is_found_also_by_one_that_keeps_the_interpreter_lock(start: Any, program: Any) -> None:
    done = start(2, program("watching.py"), "freezes beside a lock", soon(PATIENCE))
    assert done.returncode not in (0, 75)
    assert time.time() - began(done.stderr) < soon(SECONDS_TO_END + 10)
    assert "error: rank 1 of 2 on" in done.stderr
    assert are_gone(processes(done.stderr))


@pytest.mark.parametrize("case", ["dies", "root dies", "forks"])
def test_a_killed_rank_ends_the_job(start: Any, program: Any, case: str) -> None:
    done = start(3, program("watching.py"), case, soon(PATIENCE))
    assert done.returncode != 0
    assert time.time() - began(done.stderr) < soon(SECONDS_TO_END)
    assert are_gone(processes(done.stderr))


def test_a_rank_that_fails_has_the_word(start: Any, program: Any) -> None:
    done = start(3, program("watching.py"), "fails", soon(PATIENCE))
    assert done.returncode == 1
    assert "ZeroDivisionError: a fault nobody expected" in done.stderr
    assert "ended without a word" not in done.stderr


def test_a_rank_whose_watcher_is_killed_says_so(start: Any, program: Any) -> None:
    done = start(3, program("watching.py"), "loses its watcher", soon(PATIENCE))
    assert done.returncode not in (0, 75)
    assert time.time() - began(done.stderr) < soon(SECONDS_TO_END)
    assert "rank 2 of 3 on" in done.stderr
    assert "the process that hears the other ranks has ended" in done.stderr
    assert are_gone(processes(done.stderr))


def test_stop_signals_to_all_processes_of_a_rank_leave_its_watcher_at_work(start: Any, program: Any) -> None:
    done = start(3, program("watching.py"), "signals", soon(PATIENCE))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all left\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_nothing_is_left_of_a_job_whose_launcher_was_killed(
    tmp_path: Path, program: Callable[[str], Path], number: signal.Signals
) -> None:
    said = tmp_path / "said"
    with (
        said.open("w") as stderr,
        subprocess.Popen(
            command_line(2, [program("watching.py"), "peace", "20"]), env=environment(), stderr=stderr, cwd=tmp_path
        ) as job,
    ):
        deadline = time.monotonic() + soon(30)
        while len(processes(said.read_text())) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        found = processes(said.read_text())
        assert len(found) == 4
        job.send_signal(number)
        job.wait(timeout=soon(SECONDS_TO_END))
    try:
        assert are_gone(found, SECONDS_TO_END)
    finally:
        for process in filter(is_there, found):
            os.kill(process, signal.SIGKILL)


def test_where_no_process_can_be_started_the_ranks_refuse_and_name_the_way_out(start: Any, tmp_path: Path) -> None:
    program = tmp_path / "nothing_to_start.py"
    program.write_text(
        "import sys\n"
        "from lossgrid.machine.launcher import detect\nfrom lossgrid.parallel import connect, guarded\n"
        "from lossgrid.errors import InputError\n"
        "world = connect(detect())\n"
        "sys.executable = '/no/such/python'\n"
        "try:\n"
        "    with guarded(world, 5.0):\n"
        "        pass\n"
        "except InputError as error:\n"
        "    print(error) if world.is_root else None\n"
    )
    done = start(2, program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cannot start /no/such/python as the process that hears the other ranks (")
    assert "No such file or directory); --heartbeat 0" in done.stdout


def test_the_watcher_knows_nothing_of_launchers_and_preloaded_tools() -> None:
    assert not {name for name in watch.KEPT if name.startswith(("OMPI", "PMI", "SLURM", "LD_PRELOAD"))}
