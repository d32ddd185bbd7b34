"""Stop signals that come as, or after, the last point is written: the exit code tells what the file holds."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lossgrid import store
from tests.families import family
from tests.pace import soon
from tests.system.conftest import Inside, pid_of, running, wait_for_points

pytestmark = pytest.mark.beside

RUN = ("run", "--model", "users:net", "--data", "users:pictures", "--loss", "users:slow_loss", "--alpha", "-1:1:20")


def right_code(out: Path) -> int:
    surface = store.read(out)
    assert surface.complete == (surface.pending == 0)
    return 0 if surface.complete else 75


@pytest.mark.parametrize(
    ("ranks", "moment"),
    family(
        (0, 2, 3), ("points", "file", "book", "left", "exit"),
        full=[(0, "points"), (0, "exit"), (2, "file"), (2, "left"), (3, "book"), (3, "exit")],
    ),
)  # fmt: skip
def test_a_signal_when_all_is_done_is_no_failure(
    start: Any, inside: Inside, program: Any, out: Path, ranks: int, moment: str
) -> None:
    if moment == "file" and ranks and not store.has_parallel_hdf5():
        pytest.skip("NOT RUN: this h5py has no MPI, the last rank opens no file")
    done = start(ranks, program("last_moment.py"), moment, *RUN)
    assert "SIGTERM\n" in done.stderr
    assert done.returncode == right_code(out), done.stderr
    again = inside(*RUN)
    assert again.returncode == 0, again.stderr
    assert store.read(out).complete


@pytest.mark.parametrize(("ranks", "points"), family((2, 3), (18, 19, 20), full=[(2, 19), (3, 18), (3, 20)]))
def test_a_signal_to_all_ranks_about_the_last_point_is_no_failure(out: Path, ranks: int, points: int) -> None:
    with running(ranks, "lossgrid", *RUN, cwd=out.parent, env={"SECONDS_PER_POINT": "0.03"}) as job:
        ids = []
        wait_for_points(job, out, 1)
        ids = [pid_of(job.pid, rank) for rank in range(ranks)]
        with suppress(AssertionError):  # over
            wait_for_points(job, out, points)
        for process in ids:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        code = job.wait(timeout=soon(30))
    assert code == right_code(out)
