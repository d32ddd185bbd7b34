"""Runs in which only chosen entries move: three ranks, one killed, resumed, with both writers."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lossgrid import directions, store
from lossgrid.surface import DONE
from tests.conftest import launch, need_writer
from tests.families import further
from tests.pace import soon
from tests.programs import users
from tests.system.conftest import Inside, assert_same_bytes, done_points, pid_of, running, values, wait_for_points
from tests.system.test_run import reference_point

pytestmark = pytest.mark.beside

RANKS = 3
POINTS = 35
GRID = ("--alpha", "-1:1:7", "--beta", "-0.5:0.5:5", "--precision", "float64")
CHOICE = ("--move", "*.weight", "--freeze", "norm.*", "--trainable-only", "--perturb-bias-and-norm")
RUN = ("--model", "users:half_frozen", "--data", "users:pictures", "--loss", "users:slow_loss", *GRID, *CHOICE)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the surface of a run by one process that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = launch(0, "lossgrid", "run", *RUN, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "surface.h5"


@pytest.mark.parametrize("writer", [further("parallel"), pytest.param("root", marks=pytest.mark.any_mpi)])
def test_a_killed_rank_costs_nothing_where_few_entries_move(
    start: Any, inside: Inside, out: Path, undisturbed: Path, writer: str
) -> None:
    need_writer(writer)
    with running(RANKS, "lossgrid", "run", *RUN, "--writer", writer, cwd=out.parent) as job:
        wait_for_points(job, out, 5)
        os.kill(pid_of(job.pid, 1), signal.SIGKILL)
        job.communicate(timeout=soon(10))
        assert job.returncode != 0
    assert 5 <= done_points(out) < POINTS
    done = start(RANKS, "lossgrid", "run", *RUN, "--writer", writer)
    assert done.returncode == 0, done.stderr
    assert f"resuming {out.name}" in done.stderr
    assert_same_bytes(out, undisturbed)
    told = store.read(out).origin.moved
    assert told is not None
    assert told.names == ["conv.weight"]
    other = inside("run", *RUN, "--freeze", "linear.*")
    assert other.returncode == 2
    assert "freeze is ['norm.*'] there and ['linear.*', 'norm.*'] now" in other.stderr


def test_its_values_are_those_of_a_slow_reference(undisturbed: Path) -> None:
    torch.manual_seed(0)
    model = users.half_frozen(1, 10)
    theta = directions.parameters(model)
    delta, eta = (
        {"conv.weight": directions.normalise(directions.gaussian(theta, seed=0, axis=axis), theta, "filter")[
            "conv.weight"].numpy()}
        for axis in (0, 1)
    )  # fmt: skip
    got = values(undisturbed)
    assert (got["status"] == DONE).all()
    for j, beta in enumerate(got["beta"]):
        for i, alpha in enumerate(got["alpha"]):
            loss, accuracy = reference_point(model, delta, eta, alpha, beta, "train")
            assert got["train_loss"][j, i] == pytest.approx(loss, rel=1e-12)
            assert got["train_accuracy"][j, i] == pytest.approx(accuracy, abs=1e-12)
    assert np.ptp(got["train_loss"]) > 0.01
