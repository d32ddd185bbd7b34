"""Ranks that are held up for longer than the heartbeat, with Python's interpreter lock in their hands, and are well."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from lossgrid import store
from tests.conftest import ROOT
from tests.families import further
from tests.pace import soon, stretch
from tests.system.conftest import pid_of, running

GRID = ("--alpha", "-1:1:5", "--beta", "-0.5:0.5:4")
RUN = ("run", "--model", "users:net", "--data", "users:pictures", "--loss", "users:slow_loss", *GRID)


@pytest.fixture(scope="module")
def slow_open(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a library that makes one ``open()`` of a rank slow."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("NOT RUN: there is no C compiler")
    made = tmp_path_factory.mktemp("preload") / "slow_open.so"
    source = ROOT / "tests" / "programs" / "slow_open.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


def slow(library: Path, *, rank: int, end: str, seconds: float) -> dict[str, str]:
    return {"LD_PRELOAD": str(library), "SLOW_RANK": str(rank), "SLOW_END": end, "SLOW_SECONDS": f"{seconds:.0f}"}


@pytest.mark.parametrize(("ranks", "end"), [(2, ".partial"), further(3, "surface.h5")])
def test_a_file_system_that_hangs_for_longer_than_the_heartbeat_ends_nothing(
    start: Any, out: Path, slow_open: Path, ranks: int, end: str
) -> None:
    pace, began = min(stretch(), 3.0), time.monotonic()
    env = slow(slow_open, rank=0, end=end, seconds=14 * pace)
    done = start(ranks, "lossgrid", *RUN, "--heartbeat", 6 * pace, env=env, timeout=100 * pace)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began > 14 * pace
    assert "slow open of" in done.stderr
    assert "has not been heard from" not in done.stderr
    assert store.read(out).complete


def test_a_file_that_opens_slowly_at_resume_ends_nothing(start: Any, out: Path, slow_open: Path) -> None:
    stopped = start(2, "lossgrid", *RUN, "--time-limit", 5, env={"SECONDS_PER_POINT": "0.6"})
    assert stopped.returncode == 75, stopped.stderr
    pace = stretch()
    env = slow(slow_open, rank=0, end="surface.h5", seconds=5 * pace)
    done = start(2, "lossgrid", *RUN, "--heartbeat", 2 * pace, env=env)
    assert done.returncode == 0, done.stderr
    assert "slow open of" in done.stderr
    assert store.read(out).complete


def test_a_worker_that_waits_for_its_file_ends_nothing(start: Any, out: Path, slow_open: Path) -> None:
    if not store.has_parallel_hdf5():
        pytest.skip("NOT RUN: this h5py has no MPI, workers open no file")
    pace = stretch()
    env = slow(slow_open, rank=2, end="surface.h5", seconds=5 * pace)
    done = start(3, "lossgrid", *RUN, "--writer", "parallel", "--heartbeat", 2 * pace, env=env)
    assert done.returncode == 0, done.stderr
    assert "slow open of" in done.stderr
    assert store.read(out).complete


@pytest.mark.parametrize("what", [further("model"), "loss"])
def test_a_call_that_keeps_the_interpreter_lock_ends_nothing(start: Any, out: Path, what: str) -> None:
    """As the start of CUDA on a node of many GPUs does, before the points or among them."""
    pace = stretch()
    locked, heartbeat = {"SECONDS_LOCKED": f"{5 * pace:.0f}"}, ("--heartbeat", 2 * pace)
    done = start(3, "lossgrid", *RUN, f"--{what}", f"users:keeps_the_lock_on_rank_1_{what}", *heartbeat, env=locked)
    assert done.returncode == 0, done.stderr
    assert "keeps the lock" in done.stderr
    assert store.read(out).complete


def test_a_rank_that_stops_while_another_is_held_up_is_found(out: Path, slow_open: Path) -> None:
    env = slow(slow_open, rank=0, end=".partial", seconds=60)
    with running(3, "lossgrid", *RUN, "--heartbeat", soon(2), cwd=out.parent, env=env) as job:
        assert job.stderr is not None
        while "slow open of" not in (line := job.stderr.readline()):
            assert line, "the job ended too soon"
        os.kill(pid_of(job.pid, 2), signal.SIGSTOP)
        began = time.monotonic()
        _, said = job.communicate(timeout=soon(40))
        assert job.returncode not in (0, 75)
    assert time.monotonic() - began < soon(30)
    assert "error: rank 2 of 3 on" in said
