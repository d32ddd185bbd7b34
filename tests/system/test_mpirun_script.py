"""lossgrid job mpirun: stop signals, exit codes, and a mpirun that does not end after its ranks have."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lossgrid import store
from tests.conftest import environment
from tests.families import further
from tests.slurm.conftest import FILES, JOBS, array, change
from tests.system.conftest import mpirun_may_forget_exit_codes, wait_for_points

RUN = ("--model", "users:net", "--data", "users:pictures", "--loss", "users:slow_loss", "--alpha", "-1:1:30")
FAKE_MPIRUN = """import subprocess, sys, time, os
command = sys.argv[sys.argv.index("none") + 1 :]
rank = subprocess.Popen(command)
code = rank.wait()
time.sleep(float(os.environ["MPIRUN_LINGERS"]))
sys.exit(code)
"""


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@contextmanager
def script(folder: Path, *, linger: int = 30, **env: str) -> Iterator[subprocess.Popen[str]]:
    """Start a copy of lossgrid job mpirun for two ranks in ``folder``, with the programs of ``folder/bin`` first."""
    executable(folder / "bin" / "lossgrid", f"#!{sys.executable}\nfrom lossgrid.cli.app import main\n\nmain()\n")
    copy = change(FILES / "mpirun.sh", folder / "mpirun.sh", ranks="2", options=array(list(RUN)))
    copy.write_text(re.sub(r"^linger=\d+", f"linger={linger}", copy.read_text(), flags=re.MULTILINE))
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(
        ["bash", copy], cwd=folder, env=environment({"PATH": path, "SECONDS_PER_POINT": "0.2", **env}),
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as job:  # fmt: skip
        try:
            yield job
        finally:
            if job.poll() is None:
                job.kill()


def fake_mpirun(folder: Path) -> None:
    executable(folder / "bin" / "mpirun", f"#!{sys.executable}\n{FAKE_MPIRUN}")


@pytest.mark.beside
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, further(signal.SIGINT), signal.SIGUSR1], ids=lambda number: number.name
)
def test_a_stop_signal_lets_the_ranks_finish_their_points(tmp_path: Path, number: signal.Signals) -> None:
    if shutil.which("mpirun") is None:
        pytest.skip("mpirun is not installed")
    out = tmp_path / "surface.h5"
    with script(tmp_path) as job:
        wait_for_points(job, out, 4)
        job.send_signal(number)
        _, said = job.communicate(timeout=30)
    assert job.returncode == 75 or (job.returncode == 0 and mpirun_may_forget_exit_codes()), said
    assert "pending; run the same command again" in said
    assert 4 <= store.read(out).pending < 30


def test_a_stop_signal_as_the_last_point_is_written_does_not_make_a_failure_of_it(tmp_path: Path) -> None:
    if shutil.which("mpirun") is None:
        pytest.skip("mpirun is not installed")
    out = tmp_path / "surface.h5"
    with script(tmp_path, SECONDS_PER_POINT="0.05") as job:
        wait_for_points(job, out, 29)
        job.send_signal(signal.SIGTERM)
        _, said = job.communicate(timeout=30)
    complete = store.read(out).complete
    assert job.returncode == (0 if complete else 75), said


@pytest.mark.beside
def test_a_mpirun_that_does_not_end_after_its_ranks_is_ended(tmp_path: Path) -> None:
    fake_mpirun(tmp_path)
    began = time.monotonic()
    with script(tmp_path, linger=2, MPIRUN_LINGERS="120", SECONDS_PER_POINT="0") as job:
        _, said = job.communicate(timeout=60)
    assert time.monotonic() - began < 60
    assert job.returncode == 1, said
    assert "a machine is lost, so mpirun is ended" in said


@pytest.mark.beside
@pytest.mark.parametrize("number", [None, signal.SIGUSR1])
def test_a_mpirun_that_takes_its_time_keeps_its_exit_code(tmp_path: Path, number: signal.Signals | None) -> None:
    fake_mpirun(tmp_path)
    executable(tmp_path / "bin" / "mpirun", (tmp_path / "bin" / "mpirun").read_text().replace(
        "rank = ", "import signal\nsignal.signal(signal.SIGUSR1, lambda *_: rank.send_signal(signal.SIGUSR1))\nrank = "
    ))  # fmt: skip
    with script(tmp_path, MPIRUN_LINGERS="3", SECONDS_PER_POINT="0" if number is None else "0.2") as job:
        if number is not None:
            wait_for_points(job, tmp_path / "surface.h5", 3)
            job.send_signal(number)
            time.sleep(0.1)
            job.send_signal(number)  # a second one interrupts the second wait
        _, said = job.communicate(timeout=60)
    assert job.returncode == (0 if number is None else 75), said


@pytest.mark.beside
def test_every_job_file_ends_mpirun_in_the_same_way() -> None:
    def guard(file: Path) -> str:
        text = file.read_text()
        return text[text.index("# mpirun waits for ever") : text.index("\n}\n", text.index("end_with_ranks() {"))]

    assert (
        len({guard(file) for file in (FILES / "mpirun.sh", FILES / "pbs" / "surface.pbs", *JOBS.glob("*.sbatch"))}) == 1
    )
