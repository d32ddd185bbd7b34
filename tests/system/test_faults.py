"""What happens to a job, its file and its rerun when a rank dies, fails, or is told to stop."""

import math
import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossgrid import store
from lossgrid.surface import PENDING
from tests.conftest import Finished, launch, need_writer
from tests.families import family, further
from tests.pace import soon, stretch
from tests.system.conftest import (
    Inside,
    assert_same_bytes,
    done_points,
    mpirun_may_forget_exit_codes,
    pid_of,
    running,
    seconds_to_start,
    values,
    wait_for_points,
)

RANKS = 3
GRID = ("--alpha", "-1:1:9", "--beta", "-0.5:0.5:6")
POINTS = 54
SLOW = ("--model", "users:net", "--data", "users:pictures", "--loss", "users:slow_loss", *GRID)
SECONDS_TO_END = 10
AT_ONCE = {"SECONDS_PER_POINT": "0"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the surface of a run by one process that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = launch(0, "lossgrid", "run", *map(str, SLOW), cwd=folder, env=AT_ONCE)
    assert done.returncode == 0, done.stderr
    return folder / "surface.h5"


def resume(start: Any, out: Path, undisturbed: Path, writer: str, ranks: int = RANKS) -> None:
    """Run the same command again; the surface is then that of the undisturbed run, to the bit."""
    command = (*SLOW, "--writer", writer)
    resume_by(lambda: start(ranks, "lossgrid", "run", *command, env=AT_ONCE), out, undisturbed)


def resume_inside(inside: Inside, out: Path, undisturbed: Path) -> None:
    """Run the same command again in this process; see :func:`resume`."""
    resume_by(lambda: inside("run", *SLOW, env=AT_ONCE), out, undisturbed)


def resume_by(run: Callable[[], Finished], out: Path, undisturbed: Path) -> None:
    """Run the same command again, by whatever means; see :func:`resume`."""
    before = values(out)
    done = run()
    assert done.returncode == 0, done.stderr
    assert f"resuming {out.name}" in done.stderr
    assert_same_bytes(out, undisturbed)
    kept = before["status"] != PENDING
    np.testing.assert_array_equal(values(out)["train_loss"][kept], before["train_loss"][kept])


def assert_readable(out: Path, undisturbed: Path) -> None:
    """Every point marked done holds its right value."""
    now, right = values(out), values(undisturbed)
    done = now["status"] != PENDING
    for name in ("train_loss", "train_accuracy"):
        assert now[name][done].tobytes() == right[name][done].tobytes()


@pytest.mark.parametrize(
    ("rank", "writer"),
    family(range(RANKS), ("parallel", "root"), full=[(0, "root"), (2, "parallel")]),
)
def test_a_killed_rank_costs_a_few_points_and_nothing_else(
    start: Any, out: Path, undisturbed: Path, chance: random.Random, writer: str, rank: int
) -> None:
    need_writer(writer)
    with running(RANKS, "lossgrid", "run", *SLOW, "--writer", writer, cwd=out.parent) as job:
        wait_for_points(job, out, chance.randint(3, POINTS // 2))
        victim = pid_of(job.pid, rank)
        time.sleep(chance.uniform(0, 0.1))
        os.kill(victim, signal.SIGKILL)
        job.communicate(timeout=soon(SECONDS_TO_END))
        assert job.returncode != 0
    assert 3 <= done_points(out) < POINTS
    assert_readable(out, undisturbed)
    resume(start, out, undisturbed, writer)


@pytest.mark.beside
@pytest.mark.parametrize(
    ("writer", "stage", "rank"),
    [
        ("parallel", "load", 0),
        further("parallel", "load", 1),
        ("parallel", "to device", 2),
        ("parallel", "open", 1),
        ("parallel", "first point", 0),
        further("parallel", "first point", 2),
        further("parallel", "mid run", 1),
        further("parallel", "write", 0),
        ("parallel", "write", 1),
        further("parallel", "close", 0),
        ("parallel", "close", 2),
        further("root", "mid run", 0),
        pytest.param("root", "mid run", 2, marks=pytest.mark.any_mpi),
        ("root", "write", 0),
        further("root", "close", 0),
    ],
)
def test_a_failing_rank_ends_the_job_with_its_reason(
    start: Any, inside: Inside, program: Any, out: Path, undisturbed: Path, writer: str, stage: str, rank: int
) -> None:
    need_writer(writer)
    failed = start(RANKS, program("fail_at.py"), stage, rank, "run", *SLOW, "--writer", writer, timeout=60)
    ended = time.time()
    assert failed.returncode == 1, failed.stderr
    assert f"rank {rank} of {RANKS} on " in failed.stderr
    assert "Traceback (most recent call last)" in failed.stderr
    injected = re.search(rf"injected into {stage} at ([\d.]+)", failed.stderr)
    assert injected is not None, failed.stderr
    assert ended - float(injected[1]) < soon(SECONDS_TO_END)
    if stage in ("load", "to device"):
        assert not out.exists()
    else:
        assert_readable(out, undisturbed)
        resume_inside(inside, out, undisturbed)


@pytest.mark.beside
@pytest.mark.parametrize("stage", ["load", "first point", "write"])
def test_a_failure_alone_has_its_traceback_too(
    start: Any, inside: Inside, program: Any, out: Path, undisturbed: Path, stage: str
) -> None:
    failed = start(0, program("fail_at.py"), stage, 0, "run", *SLOW)
    assert failed.returncode == 1
    assert "Traceback" in failed.stderr
    assert f"injected into {stage}" in failed.stderr
    assert "the same command goes on from there" in failed.stderr.splitlines()[-1]
    done = inside("run", *SLOW, env=AT_ONCE)
    assert done.returncode == 0, done.stderr
    assert_same_bytes(out, undisturbed)


@pytest.mark.beside
@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGTERM, further(signal.SIGUSR1), further(signal.SIGUSR2)],
    ids=lambda number: number.name,
)
def test_a_stop_signal_leaves_a_resumable_file(
    inside: Inside, out: Path, undisturbed: Path, number: signal.Signals
) -> None:
    with running(0, "lossgrid", "run", *SLOW, cwd=out.parent) as job:
        wait_for_points(job, out, 5)
        job.send_signal(number)
        _, said = job.communicate(timeout=soon(SECONDS_TO_END))
        assert job.returncode == 75
    assert "pending; run the same command again" in said
    assert 5 <= done_points(out) < POINTS
    assert_readable(out, undisturbed)
    resume_inside(inside, out, undisturbed)


@pytest.mark.beside
@pytest.mark.parametrize("rank", [further(0), pytest.param(2, marks=pytest.mark.any_mpi)])
def test_sigterm_of_one_rank_stops_all(start: Any, out: Path, undisturbed: Path, rank: int) -> None:
    with running(RANKS, "lossgrid", "run", *SLOW, cwd=out.parent, env={"SECONDS_PER_POINT": "0.3"}) as job:
        wait_for_points(job, out, 5)
        os.kill(pid_of(job.pid, rank), signal.SIGTERM)
        _, said = job.communicate(timeout=soon(SECONDS_TO_END))
        assert job.returncode == 75, said
    assert 5 <= done_points(out) < POINTS
    assert_readable(out, undisturbed)
    resume(start, out, undisturbed, "auto")


@pytest.mark.beside
def test_a_signal_to_mpirun_reaches_all_ranks(inside: Inside, out: Path, undisturbed: Path) -> None:
    with running(RANKS, "lossgrid", "run", *SLOW, cwd=out.parent, env={"SECONDS_PER_POINT": "0.3"}) as job:
        wait_for_points(job, out, 5)
        job.send_signal(signal.SIGUSR1)  # mpirun forwards it, as SLURM's --signal=USR1 does
        _, said = job.communicate(timeout=soon(SECONDS_TO_END))
        assert job.returncode == 75 or (job.returncode == 0 and mpirun_may_forget_exit_codes()), said
    assert "stopped by SIGUSR1" in said
    assert 5 <= done_points(out) < POINTS
    resume_inside(inside, out, undisturbed)


@pytest.mark.parametrize("ranks", [further(0), RANKS])
def test_the_time_limit_is_kept_and_resumable(start: Any, out: Path, undisturbed: Path, ranks: int) -> None:
    limit = 3 + math.ceil(seconds_to_start(ranks, out.parent))
    began = time.monotonic()
    slow = {"SECONDS_PER_POINT": str(limit / 12)}
    stopped = start(ranks, "lossgrid", "run", *SLOW, "--time-limit", limit, env=slow)
    assert stopped.returncode == 75, stopped.stderr
    assert time.monotonic() - began < limit + soon(SECONDS_TO_END)
    assert done_points(out) < POINTS
    assert_readable(out, undisturbed)
    resume(start, out, undisturbed, "auto", ranks=ranks)


def test_the_end_of_a_slurm_job_is_kept(start: Any, out: Path, undisturbed: Path) -> None:
    takes = 20 * stretch() + seconds_to_start(RANKS, out.parent)
    ends = time.time() + takes
    told = {"SECONDS_PER_POINT": str(takes / 15), "SLURM_JOB_END_TIME": str(int(ends))}
    stopped = start(RANKS, "lossgrid", "run", *SLOW, "--time-limit", 1000, env=told, timeout=2 * takes)
    assert stopped.returncode == 75, stopped.stderr
    assert time.time() < ends
    assert "this job ends in" in stopped.stderr
    assert 0 < done_points(out) < POINTS
    resume(start, out, undisturbed, "auto")


@pytest.mark.parametrize(("rank", "writer"), family((0, 2), ("parallel", "root"), full=[(0, "parallel"), (2, "root")]))
def test_a_frozen_rank_ends_the_job(
    start: Any, out: Path, undisturbed: Path, chance: random.Random, writer: str, rank: int
) -> None:
    need_writer(writer)
    heartbeat = soon(2)
    with running(RANKS, "lossgrid", "run", *SLOW, "--writer", writer, "--heartbeat", heartbeat, cwd=out.parent) as job:
        wait_for_points(job, out, chance.randint(3, POINTS // 2))
        os.kill(pid_of(job.pid, rank), signal.SIGSTOP)
        _, said = job.communicate(timeout=heartbeat + soon(SECONDS_TO_END))
        assert job.returncode not in (0, 75)
    assert f"error: rank {rank} of {RANKS} on " in said
    assert "has not been heard from" in said
    assert "the same command goes on from there" in said
    assert_readable(out, undisturbed)
    resume(start, out, undisturbed, writer)


def test_a_rank_that_freezes_while_others_load_ends_the_job(start: Any, out: Path) -> None:
    began = time.monotonic()
    done = start(RANKS, "lossgrid", "run", *SLOW, "--model", "users:freezes_on_rank_1", "--heartbeat", soon(2))
    assert done.returncode not in (0, 75)
    assert f"error: rank 1 of {RANKS} on " in done.stderr
    assert time.monotonic() - began < soon(2 * SECONDS_TO_END)
    assert not out.exists()


def test_a_rank_that_freezes_before_mpi_starts_does_not_keep_the_others_for_ever(
    start: Any, program: Any, out: Path
) -> None:
    began = time.monotonic()
    done = start(RANKS, program("late.py"), "at the start", "run", *SLOW, "--heartbeat", 0.5)
    assert done.returncode not in (0, 75)
    assert "_wait_for_all_ranks_to_start" in done.stderr or "not all ranks have come" in done.stderr
    assert time.monotonic() - began < soon(2 * SECONDS_TO_END)
    assert not out.exists()


def test_a_rank_that_freezes_when_all_is_done_does_not_keep_the_others_for_ever(
    start: Any, program: Any, out: Path, undisturbed: Path
) -> None:
    done = start(RANKS, program("late.py"), "at the end", "run", *SLOW, "--heartbeat", soon(2), timeout=soon(40))
    assert done.returncode not in (0, 75)
    assert "_wait_for_all_ranks_to_end" in done.stderr
    assert store.read(out).complete
    assert_same_bytes(out, undisturbed)


@pytest.mark.beside
def test_a_signal_while_the_program_starts_ends_it_resumable(start: Any, program: Any, out: Path) -> None:
    done = start(RANKS, program("early.py"), "run", *SLOW)
    assert done.returncode == 75, done.stderr
    assert "stopped by a signal or the time limit before anything was loaded" in done.stderr
    assert not out.exists()


@pytest.mark.beside
def test_a_signal_to_every_rank_stops_all(inside: Inside, out: Path, undisturbed: Path) -> None:
    with running(RANKS, "lossgrid", "run", *SLOW, cwd=out.parent, env={"SECONDS_PER_POINT": "0.3"}) as job:
        wait_for_points(job, out, 5)
        for process in [pid_of(job.pid, rank) for rank in range(RANKS)]:
            os.kill(process, signal.SIGUSR2)
        _, said = job.communicate(timeout=soon(SECONDS_TO_END))
        assert job.returncode == 75, said
    resume_inside(inside, out, undisturbed)


def test_a_second_signal_ends_a_rank_at_once(inside: Inside, out: Path, undisturbed: Path) -> None:
    with running(0, "lossgrid", "run", *SLOW, cwd=out.parent, env={"SECONDS_PER_POINT": "3"}) as job:
        wait_for_points(job, out, 1)
        job.send_signal(signal.SIGTERM)  # in the middle of the second
        time.sleep(1.5)
        assert job.poll() is None
        job.send_signal(signal.SIGTERM)
        job.communicate(timeout=soon(3))
        assert job.returncode == -signal.SIGTERM
    resume_inside(inside, out, undisturbed)


@pytest.mark.beside
@pytest.mark.parametrize("ranks", [further(0), RANKS])
def test_a_file_that_is_moved_away_ends_the_run_and_goes_on_when_it_is_back(
    start: Any, out: Path, undisturbed: Path, ranks: int
) -> None:
    away = out.with_name("elsewhere.h5")
    with running(ranks, "lossgrid", "run", *SLOW, cwd=out.parent, env={"SECONDS_PER_POINT": "0.2"}) as job:
        wait_for_points(job, out, 3)
        out.rename(away)
        _, said = job.communicate(timeout=soon(SECONDS_TO_END))
        assert job.returncode == 1
    assert f"{out.name} was moved or deleted while it was being computed" in said
    assert not out.exists()
    away.rename(out)
    assert_readable(out, undisturbed)
    resume(start, out, undisturbed, "auto", ranks=ranks)


@pytest.mark.beside
def test_a_disk_that_is_full_is_found_before_any_work_and_never_later(
    inside: Inside, tmp_path: Path, disk_of: Callable[[str], Path], undisturbed: Path
) -> None:
    disk = disk_of("256k")
    out = disk / "surface.h5"
    junk = disk / "junk"
    for free in (4096, 0):
        junk.write_bytes(bytes(256 * 1024 - free))
        refused = inside("run", *SLOW, "--out", out)
        assert refused.returncode == 2, refused.stderr
        assert refused.stderr.endswith(
            f"lossgrid: error: cannot write {out}: No space left on device; choose another --out\n"
        )
        assert [path.name for path in disk.iterdir()] == ["junk"]
    junk.unlink()
    with running(RANKS, "lossgrid", "run", *SLOW, "--out", out, cwd=tmp_path) as job:
        wait_for_points(job, out, 3)
        with pytest.raises(OSError, match="No space left"):
            (disk / "junk").write_bytes(bytes(256 * 1024))
        _, said = job.communicate(timeout=60)
        assert job.returncode == 0, said  # all its space was taken when the file was made
    assert_same_bytes(out, undisturbed)


@pytest.mark.beside
def test_another_number_of_ranks_and_another_writer_go_on_with_a_file(start: Any, out: Path, undisturbed: Path) -> None:
    need_writer("parallel")
    with running(2, "lossgrid", "run", *SLOW, "--writer", "parallel", cwd=out.parent) as job:
        wait_for_points(job, out, 10)
        job.send_signal(signal.SIGUSR1)
        job.communicate(timeout=soon(SECONDS_TO_END))
    resume(start, out, undisturbed, "root", ranks=4)


@pytest.mark.beside
def test_ranks_that_hold_different_networks_are_found(start: Any, out: Path) -> None:
    done = start(RANKS, "lossgrid", "run", "--model", "users:other_on_rank_1", "--alpha", "0:1:2")
    assert done.returncode == 1
    assert "rank 1 of 3 on" in done.stderr
    assert "differ from those of rank 0" in done.stderr
    assert not out.exists()


@pytest.mark.beside
def test_a_network_that_one_rank_cannot_make_names_the_rank(start: Any, out: Path) -> None:
    done = start(RANKS, "lossgrid", "run", "--model", "users:breaks_on_rank_1", "--alpha", "0:1:2")
    assert done.returncode == 1
    assert "1 of 3 ranks cannot go on: rank 1 of 3 on" in done.stderr
    assert "RuntimeError: this node lacks a file" in done.stderr
    assert not out.exists()


@pytest.mark.beside
def test_a_second_job_on_a_file_in_use_is_refused(inside: Inside, out: Path, undisturbed: Path) -> None:
    slow = {"SECONDS_PER_POINT": "0.5"}
    with running(2, "lossgrid", "run", *SLOW, cwd=out.parent, env=slow) as job:
        wait_for_points(job, out, 1)
        for more in ((), ("--overwrite",)):
            second = inside("run", *SLOW, *more)
            assert second.returncode == 2, second.stderr
            assert "is in use by process" in second.stderr
        looked = inside("status", out, "--json")
        assert looked.returncode == 0, looked.stderr
        assert '"complete": false' in looked.stdout
        os.kill(pid_of(job.pid, 1), signal.SIGUSR1)
        _, said = job.communicate(timeout=soon(SECONDS_TO_END))
        assert job.returncode == 75, said
    assert_readable(out, undisturbed)
