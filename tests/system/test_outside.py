"""A package outside lossgrid adds one of each kind; each is one file, and one option names it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import lossgrid
from tests.conftest import ROOT, launch
from tests.families import further

pytestmark = pytest.mark.beside

OUTSIDE = {"PYTHONPATH": f"{ROOT / 'tests' / 'outside'}:{ROOT}"}
RUN = (
    "lossgrid", "run", "--model", "extras.waves:waves", "--model-arg", "width=6", "--data", "extras.rings:rings",
    "--metric", "margin=extras.margin:margin", "--directions", "extras.gradient:gradient",
    "--alpha", "-1:1:5", "--beta", "-0.5:0.5:3", "--precision", "float64", "--out", "s.h5",
)  # fmt: skip


def call(folder: Path, *line: str, ranks: int = 0) -> str:
    done = launch(ranks, *line, cwd=folder, env=OUTSIDE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("ranks", [further(0), 2])
def test_a_run_a_plot_a_compare_and_an_export_use_what_a_package_adds(
    ranks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(tmp_path, *RUN, ranks=ranks)
    call(tmp_path, *RUN)  # the same directions are found again
    call(tmp_path, "lossgrid", "plot", "s.h5", "--metric", "train_margin")
    assert (tmp_path / "s_contourf.png").stat().st_size > 0
    table = call(tmp_path, "lossgrid", "compare", "s.h5", "--number", "extras.tilt:tilt")
    assert "tilt" in table
    call(tmp_path, "lossgrid", "export", "s.h5", "--to", "extras.arrays:arrays", "--out", "s.npz")

    monkeypatch.syspath_prepend(str(ROOT / "tests" / "outside"))
    from extras.gradient import gradient
    from extras.margin import margin
    from extras.rings import rings
    from extras.waves import waves

    from lossgrid.directions import Around
    from lossgrid.parallel import alone

    surface, written = lossgrid.open(tmp_path / "s.h5"), np.load(tmp_path / "s.npz")
    assert surface.complete
    np.testing.assert_array_equal(written["train_margin"], surface["train_margin"])
    np.testing.assert_array_equal(written["train_loss_error"], surface.errors["train_loss"])

    torch.manual_seed(0)
    model = waves(2, 6).double()
    inputs, targets = rings("train")
    around = Around(model, {"train": type("Split", (), {"tensors": (inputs.double(), targets)})}, alone())  # type: ignore[dict-item]
    delta, eta = gradient(around, 2)
    theta = {name: entry.detach() for name, entry in model.named_parameters()}
    for row, column in ((0, 0), (1, 2), (2, 4)):
        alpha, beta = surface.alpha[column], surface.beta[row]  # type: ignore[index]
        moved = {
            name: entry + alpha * delta.get(name, torch.zeros(())) + beta * eta.get(name, torch.zeros(()))
            for name, entry in theta.items()
        }
        outputs = torch.func.functional_call(model, moved, inputs.double())
        assert surface["train_loss"][row, column] == pytest.approx(float(F.cross_entropy(outputs, targets)), rel=1e-6)
        assert surface["train_margin"][row, column] == pytest.approx(float(margin(outputs, targets).mean()), rel=1e-6)
    assert json.dumps(surface.config["directions"]) == '"extras.gradient:gradient"'
