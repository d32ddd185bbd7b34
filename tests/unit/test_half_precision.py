"""Networks and checkpoints of half precision: theta is kept in float32, and nothing of a move is rounded to them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import lossgrid
from lossgrid import cli, directions, models, store
from lossgrid.evaluation import Plane
from lossgrid.evaluation.conversion import to_device
from lossgrid.evaluation.device import choose_device
from lossgrid.run.study import load_model
from lossgrid.settings import RunConfig, resolve
from tests.builders import a_batch, a_perceptron, moved_loss

HALVES = [torch.bfloat16, torch.float16]
REFERENCE = "tests.unit.test_half_precision"


def bfloat16(in_features: int = 6, num_classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Flatten(), a_perceptron(in_features, 5, num_classes)).bfloat16()


def float16(in_features: int = 6, num_classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Flatten(), a_perceptron(in_features, 5, num_classes)).half()


class Sequence(nn.Module):
    """A recurrent network in bfloat16, with a complex parameter and an integer buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 4, batch_first=True)
        self.head = nn.Linear(4, 3)
        self.bfloat16()
        self.register_buffer("order", torch.arange(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(x.view(-1, 3, 2).to(self.head.weight.dtype))
        return self.head(hidden[:, -1])[:, self.order]


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    return a_batch(30, 6, classes=3)


@pytest.mark.parametrize("made", [bfloat16, float16, Sequence])
def test_a_network_of_half_precision_moves_in_float32(made: Any) -> None:
    """At alpha = 1e-4, rounded to bfloat16, nearly no weight would move."""
    torch.manual_seed(2)
    model = made()
    before = copy.deepcopy(model.state_dict())
    theta = directions.parameters(model)
    delta = directions.Random(0).of_axis(model, 0)
    line = lossgrid.evaluate(model, samples(), alpha=(-1e-4, 1e-4, 3))
    expected = np.array([moved_loss(model, samples(), delta, alpha) for alpha in (-1e-4, 0, 1e-4)])
    np.testing.assert_allclose(line["train_loss"], expected, rtol=2e-6)
    slope = line["train_loss"][2] - line["train_loss"][0]
    assert slope == pytest.approx(expected[2] - expected[0], rel=0.05)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)
    rounded = {name: (theta[name] + 1e-4 * delta[name].to(theta[name].dtype)) for name in delta}
    unmoved = [float((rounded[name] == theta[name]).float().mean()) for name in delta]
    assert max(unmoved) > 0.4  # what half precision would leave where it was


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_checkpoints_of_half_precision_are_widened_exactly(dtype: torch.dtype, suffix: str, tmp_path: Path) -> None:
    state = {name: tensor.to(dtype) for name, tensor in bfloat16().float().state_dict().items()}
    path = tmp_path / f"net.{suffix}"
    (safetensors.torch.save_file if suffix == "safetensors" else torch.save)(state, path)
    config = resolve(RunConfig, {"model": f"{REFERENCE}:bfloat16", "checkpoint": str(path)})
    loaded = load_model(config, {}).state_dict()
    for name, tensor in state.items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], tensor.float())


@pytest.mark.parametrize("made", ["bfloat16", "float16"])
def test_a_checkpoint_keeps_its_digits_in_a_network_of_half_precision(
    made: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = a_perceptron(6, 5, 3, seed=8).state_dict()
    torch.save({f"1.{name}": tensor for name, tensor in state.items()}, tmp_path / "net.pt")
    config = resolve(RunConfig, {"model": f"{REFERENCE}:{made}", "checkpoint": str(tmp_path / "net.pt")})
    loaded = load_model(config, {}).state_dict()
    assert all(torch.equal(loaded[f"1.{name}"], tensor) for name, tensor in state.items())
    assert "digits" not in caplog.text


def test_a_network_in_float32_lies_at_the_end_of_a_line_from_one_in_bfloat16(caplog: pytest.LogCaptureFixture) -> None:
    start, end = bfloat16(), nn.Sequential(nn.Flatten(), a_perceptron(6, 5, 3, seed=9))
    line = lossgrid.evaluate(start, samples(), alpha=(0, 1, 2), to=end)
    np.testing.assert_allclose(
        line["train_loss"], [moved_loss(start, samples(), {}, 0), moved_loss(end, samples(), {}, 0)], rtol=2e-6
    )
    assert "digits" not in caplog.text


def test_a_network_in_float64_lies_at_the_end_of_a_line_in_float64(caplog: pytest.LogCaptureFixture) -> None:
    start, end = a_perceptron(6, 5, 3), a_perceptron(6, 5, 3, seed=9).double()
    with torch.no_grad():
        end[0].weight.mul_(1 + 1e-9)
    line = lossgrid.evaluate(start, samples(), alpha=(0, 1, 2), to=end, precision="float64")
    np.testing.assert_allclose(line["train_loss"][1], moved_loss(end, samples(), {}, 0), rtol=1e-14)
    assert "digits" not in caplog.text


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_theta_is_float32_whatever_layers_compute_in(precision: str) -> None:
    device = choose_device("cpu", precision, local_rank=0)
    model = to_device(bfloat16(), device)
    delta = directions.Random(0).of_axis(bfloat16(), 0)
    plane = Plane(model, delta)
    plane.move(1e-4)
    for name, entry in model.named_parameters():
        assert entry.dtype == torch.float32
        if name in delta:
            exact = dict(bfloat16().named_parameters())[name].double() + 1e-4 * delta[name]
            np.testing.assert_allclose(entry.detach().double(), exact.detach(), rtol=1e-6)


def test_bfloat16_is_asked_for_by_its_name_only() -> None:
    line, low = (
        lossgrid.evaluate(bfloat16(), samples(), alpha=(-1, 1, 3), precision=p) for p in ("float32", "bfloat16")
    )
    assert line.rounding is None
    assert low.rounding is not None
    apart = np.abs(low["train_loss"] / line["train_loss"] - 1)
    assert 0 < apart.max() < 0.05


def test_widening_leaves_what_is_wide_enough() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double(), nn.Linear(2, 2).half())
    model.register_buffer("counts", torch.arange(3, dtype=torch.int16))
    model[2].bias.requires_grad_(False)
    wide = models.widened(model)
    kinds = [tensor.dtype for tensor in wide.state_dict().values()]
    assert kinds == [torch.int16, *2 * [torch.float32], *2 * [torch.float64], *2 * [torch.float32]]
    assert [p.requires_grad for p in wide.parameters()] == [True] * 5 + [False]
    tied = nn.Linear(3, 3).bfloat16()
    tied.twin = tied.weight
    assert models.widened(tied).twin is tied.weight


def test_a_run_of_a_half_network_with_a_full_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = nn.Sequential(nn.Flatten(), a_perceptron(64, 5, 10, seed=8))
    torch.save(model.state_dict(), "net.pt")
    for name in ("bfloat16", "float16"):
        with pytest.raises(SystemExit) as ended:
            cli.main(["run", "--model", f"{REFERENCE}:{name}", "--checkpoint", "net.pt", "--alpha", "0:1:2",
                      "--max-samples", "50", "--out", f"{name}.h5"])  # fmt: skip
        assert not ended.value.code
    one, two = (store.read(Path(f"{name}.h5")) for name in ("bfloat16", "float16"))
    assert one.origin.digests.theta == two.origin.digests.theta
    np.testing.assert_array_equal(one["train_loss"], two["train_loss"])
