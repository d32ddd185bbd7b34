"""Steps of users from the command line: by three ranks, with both writers, resumed after a kill."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossgrid import store
from tests.conftest import need_writer
from tests.families import family
from tests.system.conftest import Inside, assert_same_bytes, done_points, pid_of, running, wait_for_points

pytestmark = pytest.mark.beside

GRID = ("--alpha", "-1:1:9", "--beta", "0:1:5")
CLASSIFY = ("--model", "users:net", "--data", "users:pictures", "--step", "steps:classify", "--splits", "train,test")
PHYSICS = ("--model", "steps:Sine", "--data", "steps:line", "--step", "steps:physics", "--precision", "float64")
RUNS = {"classify": CLASSIFY, "physics": PHYSICS}


@pytest.mark.parametrize(
    ("kind", "writer"), family(tuple(RUNS), ("parallel", "root"), full=[("classify", "parallel"), ("physics", "root")])
)
def test_a_killed_run_with_a_step_goes_on_to_the_same_bits(
    start: Any, inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, writer: str
) -> None:
    need_writer(writer)
    alone = inside("run", *RUNS[kind], *GRID, "--out", "alone.h5")
    assert alone.returncode == 0, alone.stderr
    out = tmp_path / "ranks.h5"
    command = ("lossgrid", "run", *RUNS[kind], *GRID, "--out", out.name, "--writer", writer)
    with monkeypatch.context() as slow:
        slow.setenv("SECONDS_PER_POINT", "0.1")
        with running(3, *command, cwd=tmp_path) as job:
            wait_for_points(job, out, 4)
            os.kill(pid_of(job.pid, 1), signal.SIGKILL)
            job.communicate(timeout=60)
            assert job.returncode != 0
    assert 4 <= done_points(out) < 45
    again = start(3, *command)
    assert again.returncode == 0, again.stderr
    assert_same_bytes(tmp_path / "alone.h5", out)
    one, other = store.read(tmp_path / "alone.h5"), store.read(out)
    for name in one.quantities:
        assert one[name].tobytes() == other[name].tobytes(), name
    if kind == "physics":
        assert other["train_residual"][0, 4] < 1e-12
        assert other["train_residual"].max() > 1e-3
        assert other.quantities["train_residual"].units == "m"
    else:
        assert np.isfinite(other["test_accuracy"]).all()


def test_what_a_step_cannot_be_is_one_line(inside: Inside, tmp_path: Path) -> None:
    for more, words in (
        (("--loss", "mse"), "--step returns all values itself, so leave --loss out, or --step"),
        (("--metric", "top5"), "--step returns all values itself, so leave --metric out, or --step"),
        (("--step", "steps:Sine"), "step steps:Sine raised TypeError"),
        (("--step", "steps:absent"), "steps has no function 'absent'"),
    ):
        done = inside("run", *CLASSIFY, *more, "--alpha", "0:1:2")
        assert done.returncode == 2, done.stderr
        assert words in done.stderr.splitlines()[-1]
        assert not (tmp_path / "surface.h5").exists()
