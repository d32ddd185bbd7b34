"""Cases that people met on clusters: a file read by plain h5py while ranks write it, and a folder that is not there."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from lossgrid import store
from lossgrid.surface import DONE
from tests.conftest import Start
from tests.system.conftest import running, wait_for_points

pytestmark = pytest.mark.beside

SLOW = ("--model", "mlp", "--loss", "users:slow_loss", "--max-samples", "20", "--alpha", "-1:1:15")


def test_a_surface_is_read_by_h5py_while_ranks_write_it(out: Path, tmp_path: Path) -> None:
    with running(2, "lossgrid", "run", *SLOW, "--out", out, cwd=tmp_path) as job:
        wait_for_points(job, out, 3)
        with h5py.File(out, "r") as file:  # and it stays open until the job has ended
            status, loss = file["status"][...], file["train_loss"][...]
            assert np.isfinite(loss[status == DONE]).all()
            assert (status == DONE).sum() >= 3
            _, said = job.communicate(timeout=120)
        assert job.returncode == 0, said
    assert store.read(out).complete


def test_a_folder_that_is_not_there_is_one_line_of_all_ranks(start: Start, tmp_path: Path) -> None:
    ended = start(3, "lossgrid", "run", "--model", "mlp", "--alpha", "-1:1:3", "--out", tmp_path / "no" / "s.h5")
    errors = [line for line in ended.stderr.splitlines() if "lossgrid: error" in line]
    assert ended.returncode == 2
    assert len(errors) == 1
    assert "folder" in errors[0]
    assert str(tmp_path / "no") in errors[0]
    assert "Traceback" not in ended.stderr
