"""Whole jobs: what the tests of runs, faults and bad input share."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from lossgrid import cli, store
from lossgrid.machine.launcher import detect
from lossgrid.surface import PENDING
from tests.conftest import ROOT, Finished, command_line, environment, give_back_handlers, launch

Inside = Callable[..., Finished]
METRICS = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")


def values(path: Path) -> dict[str, np.ndarray]:
    """Return what a surface must have alike however it was computed, read with h5py alone."""
    with h5py.File(path, "r", locking=False) as file:
        return {name: file[name][...] for name in (*METRICS, "status", "alpha", "beta") if name in file}


def assert_same_bytes(one: Path, two: Path) -> None:
    """Compare values bit by bit."""
    left, right = values(one), values(two)
    assert left.keys() == right.keys()
    for name, array in left.items():
        assert array.tobytes() == right[name].tobytes(), name


def pid_of(mpirun: int, rank: int) -> int:
    """Return the process of a rank: the first below ``mpirun`` whose environment says so, whoever the launcher is.

    Open MPI's ranks are children of ``mpirun``, MPICH's of a proxy it starts; what a rank itself starts lies deeper.
    """
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    generation = [mpirun]
    while generation := [child for parent in generation for child in children.get(parent, [])]:
        for process in generation:
            with suppress(OSError):
                variables = Path(f"/proc/{process}/environ").read_text(errors="replace").split("\0")
                launch = detect(dict(variable.split("=", 1) for variable in variables if "=" in variable))
                if launch is not None and launch.rank == rank:
                    return process
    raise AssertionError(f"no rank {rank} under process {mpirun}")


def mpirun_may_forget_exit_codes() -> bool:
    """Tell whether mpirun at times ends with 0 once it has passed on a signal, whatever its ranks end with.

    That of MPICH before 4.1 takes ranks to which it has sent a signal for killed on purpose (its pull request 5930).
    """
    said = subprocess.run(["mpirun", "--version"], text=True, capture_output=True, check=True).stdout
    found = re.search(r"HYDRA.*?Version: *(\d+)\.(\d+)", said, re.DOTALL)
    return found is not None and (int(found[1]), int(found[2])) < (4, 1)


def done_points(path: Path) -> int:
    """Return how many points the file has now; 0 while there is no file."""
    if not path.exists():
        return 0
    return int(np.count_nonzero(store.read(path).status != PENDING))


@contextmanager
def running(
    ranks: int, *command: object, cwd: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start a job; it is ended with the block where it has not ended by itself.

    Points of ``users:slow_loss`` take longer than elsewhere, so that the job is still at work when something happens.
    """
    line = command_line(ranks, [str(part) for part in command])
    with subprocess.Popen(
        line,
        cwd=cwd,
        env=environment({"SECONDS_PER_POINT": "0.1", **(env or {})}),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as job:
        try:
            yield job
        finally:
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)


def wait_for_points(job: subprocess.Popen[str], path: Path, count: int, timeout: float = 60) -> int:
    """Wait until the file of a running job holds ``count`` points, and return how many it holds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        assert job.poll() is None, f"the job ended too soon: {job.communicate()}"
        done = done_points(path)
        if done >= count:
            return done
        time.sleep(0.02)
    raise AssertionError(f"no {count} points within {timeout} s")


def seconds_to_start(ranks: int, folder: Path) -> float:
    """Return how long a run of a single point takes now, which is its start and its end."""
    began = time.monotonic()
    line = ("lossgrid", "run", "--model", "users:net", "--data", "users:pictures", "--alpha", "0:0:1")
    done = launch(ranks, *line, "--out", folder / "start.h5", cwd=folder)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - began


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Inside:
    """Return a function that runs a command line in ``tmp_path`` within this process: ``inside("run", ...)``.

    It spares the start of Python and PyTorch, and is for commands whose process is not what the test is about.
    """

    def ran(*arguments: object, env: Mapping[str, str] | None = None) -> Finished:
        line, threads = [str(part) for part in arguments], torch.get_num_threads()
        torch.set_num_threads(1)  # as each process of other tests has
        with monkeypatch.context() as there:
            there.chdir(tmp_path)
            there.setattr(sys, "argv", ["lossgrid", *line])
            there.syspath_prepend(str(ROOT / "tests" / "programs"))
            for name, value in {"COLUMNS": "200", "OMP_NUM_THREADS": "1", **(env or {})}.items():
                there.setenv(name, value)
            capfd.readouterr()
            with pytest.raises(SystemExit) as ended:
                cli.main(line)
        torch.set_num_threads(threads)
        give_back_handlers()
        said = capfd.readouterr()
        return Finished(line, int(ended.value.code or 0), said.out, said.err)

    return ran


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return where the surface of a test goes."""
    return tmp_path / "surface.h5"
