"""A file holds values of one function: a stored point is computed again before a run goes on with it."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lossgrid
from lossgrid import store
from lossgrid.errors import InputError
from tests.builders import a_batch

COUNT = 40


class Net(nn.Module):
    """A network whose forward pass a test can edit."""

    factor = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * self.second(torch.tanh(self.first(x)))


class Edited(Net):
    """The same weights, ten times the logits."""

    factor = 10.0


class Slightly(Net):
    """The same weights, logits that differ in the fourth digit."""

    factor = 1.0001


for edited in (Edited, Slightly):
    edited.__name__ = edited.__qualname__ = "Net"


def made(kind: type[nn.Module] = Net) -> nn.Module:
    torch.manual_seed(1)
    return kind().eval()


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    return a_batch(COUNT, 6, classes=4, seed=2)


def half_done(path: Path) -> None:
    """Make the last points of a complete surface pending, as an interrupted run leaves them."""
    with h5py.File(path, "r+", locking=False) as file:
        half = file["status"].shape[0] // 2
        file["status"][half:] = 0
        for name in ("train_loss", "train_accuracy"):
            file[name][half:] = np.nan
        for name in ("values_digest", "digest"):
            file.attrs.pop(name, None)
        file.attrs.modify("complete", 0)


@pytest.mark.parametrize("kind", [Edited, Slightly])
@pytest.mark.parametrize("state", ["complete", "half"])
@pytest.mark.parametrize("alpha", ["-1:1:9", "0.5:1:6"])  # with and without the centre
def test_an_edited_network_is_refused(tmp_path: Path, kind: type[nn.Module], state: str, alpha: str) -> None:
    path = tmp_path / "s.h5"
    lossgrid.evaluate(made(), samples(), alpha=alpha, out=path)
    if state == "half":
        half_done(path)
    before = path.read_bytes()
    with pytest.raises(
        InputError, match=r"values of another function: at .* train_loss is [\d.]+ in the file and [\d.]+"
    ):
        lossgrid.evaluate(made(kind), samples(), alpha=alpha, out=path)
    assert path.read_bytes() == before
    assert lossgrid.evaluate(made(), samples(), alpha=alpha, out=path).complete


@pytest.mark.parametrize("state", ["complete", "half"])
def test_another_loss_of_the_same_name_is_refused(tmp_path: Path, state: str) -> None:
    path = tmp_path / "s.h5"
    lossgrid.evaluate(made(), samples(), alpha="-1:1:9", out=path, loss=lambda o, t: F.cross_entropy(o, t))
    if state == "half":
        half_done(path)
    with pytest.raises(InputError, match=r"values of another function"):
        lossgrid.evaluate(made(), samples(), alpha="-1:1:9", out=path, loss=lambda o, t: 100 * F.cross_entropy(o, t))


def test_a_loss_that_measures_other_quantities_is_refused(tmp_path: Path) -> None:
    path, (inputs, _) = tmp_path / "s.h5", samples()
    targets = torch.arange(COUNT) % 2

    class Two(Net):
        """One score or two, by an edit."""

        scores = 2

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x)[:, : self.scores]

    lossgrid.evaluate(made(Two), (inputs, targets), alpha="-1:1:3", out=path, loss=lambda o, t: F.cross_entropy(o, t))
    Two.scores = 1
    with pytest.raises(InputError, match="holds train_accuracy, train_loss, this run measures train_loss"):
        lossgrid.evaluate(
            made(Two), (inputs, targets), alpha="-1:1:3", out=path,
            loss=lambda o, t: F.binary_cross_entropy_with_logits(o[:, 0], t.float()),
        )  # fmt: skip


def test_a_changed_value_in_the_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    lossgrid.evaluate(made(), samples(), alpha="-1:1:9", out=path)
    half_done(path)
    with h5py.File(path, "r+", locking=False) as file:
        file["train_loss"][:4] = file["train_loss"][:4] * (1 + 1e-5)
    with pytest.raises(InputError, match="values of another function"):
        lossgrid.evaluate(made(), samples(), alpha="-1:1:9", out=path)


def test_points_marked_done_without_a_value_are_computed(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    first = lossgrid.evaluate(made(), samples(), alpha="-1:1:9", out=path)
    half_done(path)
    with h5py.File(path, "r+", locking=False) as file:
        file["train_accuracy"][1] = np.nan  # as a node that was lost may leave it
    assert store.read(path).pending == 6
    again = lossgrid.evaluate(made(), samples(), alpha="-1:1:9", out=path)
    assert again.complete
    np.testing.assert_array_equal(again["train_accuracy"], first["train_accuracy"])
    np.testing.assert_array_equal(again["train_loss"], first["train_loss"])


def test_the_origin_says_whose_source_it_was(tmp_path: Path) -> None:
    surface = lossgrid.evaluate(made(), samples(), alpha="-1:1:3", loss=lambda o, t: F.cross_entropy(o, t))
    assert set(surface.provenance["sources"]) == {"model", "loss"}
    assert all(len(digest) == 64 for digest in surface.provenance["sources"].values())
    assert surface.provenance["weights"] == "given"


def test_a_notebook_shows_the_centre_first(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("builtins.__IPYTHON__", True, raising=False)
    monkeypatch.setattr("logging.Logger.hasHandlers", lambda self: False)
    lossgrid.evaluate(made(), samples(), alpha="-1:1:3")
    lines = capsys.readouterr().out.splitlines()
    centre = next(i for i, line in enumerate(lines) if "at the centre: train loss" in line)
    assert any("is complete" in line for line in lines[centre:])
    monkeypatch.undo()
    lossgrid.evaluate(made(), samples(), alpha="-1:1:3")
    assert capsys.readouterr().out == ""
