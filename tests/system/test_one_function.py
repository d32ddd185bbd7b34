"""An edited network or loss, from the command line and under mpirun: refused at resume and when complete."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.families import family
from tests.system.conftest import Inside

pytestmark = pytest.mark.beside

NET = """
import torch
from torch.nn import functional as F

class Net(torch.nn.Module):
    def __init__(self, in_features, num_classes):
        super().__init__()
        self.linear = torch.nn.Linear(in_features, num_classes)

    def forward(self, x):
        return {factor} * self.linear(x.flatten(1))

def loss(outputs, targets):
    return {weight} * F.cross_entropy(outputs, targets, reduction="none")
"""
RUN = (
    "--model",
    "mynet:Net",
    "--loss",
    "mynet:loss",
    "--data",
    "users:pictures",
    "--alpha",
    "-1:1:11",
    "--beta",
    "0:1:3",
)


def write(folder: Path, factor: float = 1.0, weight: float = 1.0) -> None:
    (folder / "mynet.py").write_text(NET.format(factor=factor, weight=weight))


def interrupt(path: Path) -> None:
    """Leave the file as an interrupted run does: its last rows are pending."""
    with h5py.File(path, "r+", locking=False) as file:
        file["status"][1:] = 0
        for name in ("train_loss", "train_accuracy"):
            file[name][1:] = np.nan
        for name in ("values_digest", "digest"):
            file.attrs.pop(name, None)
        file.attrs.modify("complete", 0)


@pytest.mark.parametrize(
    ("ranks", "state"), family((0, 2, 3), ("complete", "half"), full=[(0, "complete"), (2, "half")])
)
def test_an_edited_network_or_loss_is_refused(start: Any, tmp_path: Path, ranks: int, state: str) -> None:
    write(tmp_path)
    done = start(ranks, "lossgrid", "run", *RUN)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "surface.h5"
    if state == "half":
        interrupt(path)
    before = path.read_bytes()
    for change, what in (({"factor": 2.0}, "model"), ({"weight": 1.5}, "loss")):
        write(tmp_path, **change)
        done = start(ranks, "lossgrid", "run", *RUN)
        assert done.returncode == 2, done.stderr
        errors = [line for line in done.stderr.splitlines() if "error:" in line]
        assert len(errors) == 1, done.stderr
        assert "holds values of another function: at (" in errors[0]
        assert f"the source of the {what}" in errors[0]
        assert path.read_bytes() == before
    write(tmp_path)
    done = start(ranks, "lossgrid", "run", *RUN)
    assert done.returncode == 0, done.stderr
    assert "at the centre: train loss" in done.stderr


def test_the_centre_comes_first_in_the_log(start: Any, inside: Inside, tmp_path: Path) -> None:
    done = start(2, "lossgrid", "run", "--model", "mlp", "--data", "users:pictures", "--alpha", "-1:1:9")
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    centre = next(i for i, line in enumerate(lines) if "at the centre: train loss" in line)
    assert any("computing surface.h5" in line for line in lines[:centre])
    assert any("is complete" in line for line in lines[centre:])
    assert any("random weights: mlp was not given a checkpoint" in line for line in lines)
    assert "random weights" in inside("status", "surface.h5").stdout
    with h5py.File(tmp_path / "surface.h5") as file:
        assert file["rank"][4] == 0


def test_a_grid_without_the_centre_is_told_what_would_have_it(inside: Inside) -> None:
    done = inside("run", "--model", "mlp", "--data", "users:pictures", "--alpha", "-1:1:4")
    assert "0 is no point of --alpha -1.0:1.0:4" in done.stderr
    assert "-1.0:1.0:5 has it" in done.stderr
