"""Precision is a promise: measured before the work, at its end, and not changed by what a network imports."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import nn

import lossgrid
from lossgrid.errors import InputError
from lossgrid.evaluation import arithmetic, choose_device
from lossgrid.evaluation.head import Float32Linear, keep_head_in_float32
from lossgrid.precision import PRECISIONS, precision_of
from lossgrid.run.rounding import difference
from lossgrid.settings.network import Precision
from lossgrid.surface.caveats import caveats_of
from lossgrid.surface.summary import as_lines, summarise
from tests.builders import a_batch, quantities


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    with arithmetic.restored():
        yield


class Cancelling(nn.Module):
    """Takes the small difference of large numbers: bfloat16 loses it."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.large, self.head = nn.Linear(6, 8), nn.Linear(8, 4)
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.large(x)
        shifted = y.to(torch.bfloat16) if torch.is_autocast_enabled("cpu") else y
        return self.head((shifted + self.size) - self.size)


def made(size: float) -> nn.Module:
    torch.manual_seed(0)
    return Cancelling(size)


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    return a_batch(40, 6, classes=4, seed=2)


def test_a_precision_that_is_too_low_is_refused_before_the_work(tmp_path: Path) -> None:
    out = tmp_path / "s.h5"
    with pytest.raises(
        InputError,
        match=r"train (loss|accuracy) at \(.*\) is .* in float32, .* max_rounding 0.05; use precision float32",
    ):
        lossgrid.evaluate(made(300.0), samples(), alpha=(-1, 1, 5), out=out, precision="bfloat16")
    assert not out.exists()


def test_what_is_beyond_the_promise_is_told_in_file_status_and_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first batches may be good where the whole surface is not."""
    monkeypatch.setattr("lossgrid.run.path.refuse_rounding", lambda *given: None)
    surface = lossgrid.evaluate(made(30.0), samples(), alpha=(-1, 1, 5), precision="bfloat16", max_rounding=1e-9)
    assert surface.complete
    assert surface.rounding is not None
    assert surface.rounding["beyond"] is True
    assert surface.rounding["largest"]["train_loss"] > 0
    json.dumps(surface.rounding, allow_nan=False)
    assert any("bfloat16" in note for note in caveats_of(surface))
    assert any(line.startswith("note: bfloat16") for line in as_lines(summarise(surface)))


def test_more_may_be_allowed() -> None:
    surface = lossgrid.evaluate(made(300.0), samples(), alpha=(-1, 1, 5), precision="bfloat16", max_rounding=100)
    assert surface.rounding is not None
    assert surface.rounding["beyond"] is False


def test_a_network_that_is_good_in_bfloat16_is_computed() -> None:
    surface = lossgrid.evaluate(made(0.0), samples(), alpha=(-1, 1, 5), precision="bfloat16")
    assert surface.complete
    assert surface.rounding is not None
    assert surface.rounding["limit"] == 0.05
    assert not caveats_of(surface)


def test_differences_count_as_promised() -> None:
    loss, accuracy = quantities("train")
    assert difference(loss, 1.286, 0.669) == pytest.approx(0.922, abs=1e-3)
    assert difference(accuracy, 0.5, 0.4) == pytest.approx(0.1)
    assert difference(loss, float("nan"), float("nan")) == 0.0
    assert difference(loss, float("inf"), float("inf")) == 0.0
    assert difference(loss, float("inf"), 1.0) == float("inf")
    assert difference(loss, 1.0, float("nan")) == float("inf")
    assert difference(loss, 0.1, 0.0) == 0.1


def test_the_last_linear_layer_stays_in_float32() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).requires_grad_(False)
    inputs, device = samples()[0], choose_device("cpu", "bfloat16", local_rank=0)
    keep_head_in_float32(model, lambda: model(inputs), device)
    assert type(model[2]) is Float32Linear
    assert type(model[0]) is nn.Linear
    with device.autocast():
        hidden, outputs = model[1](model[0](inputs)), model(inputs)
    assert hidden.dtype == torch.bfloat16
    assert outputs.dtype == torch.float32
    torch.testing.assert_close(outputs, hidden.float() @ model[2].weight.T + model[2].bias)


SWITCHES = [
    lambda: torch.set_float32_matmul_precision("medium"),
    lambda: torch.set_float32_matmul_precision("high"),
    lambda: setattr(torch.backends.cudnn, "benchmark", True),
    lambda: setattr(torch.backends.cudnn, "deterministic", False),
    lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
    lambda: setattr(torch.backends.cudnn.conv, "fp32_precision", "tf32"),
    lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
]


@pytest.mark.parametrize("switch", range(len(SWITCHES)))
def test_what_a_module_switches_when_imported_is_switched_back(switch: int) -> None:
    SWITCHES[switch]()
    before = arithmetic.current()
    surface = lossgrid.evaluate(made(0.0), samples(), alpha=(-1, 1, 3))
    assert surface.provenance["arithmetic"] == arithmetic.wanted("float32")
    assert arithmetic.current() == before  # and the caller's settings are as they were


@pytest.mark.parametrize("switch", [0, 2, 7])
def test_what_a_forward_pass_switches_is_refused(switch: int) -> None:
    class Switching(Cancelling):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            SWITCHES[switch]()
            return super().forward(x)

    with pytest.raises(InputError, match="changes how torch computes"):
        lossgrid.evaluate(Switching(0.0), samples(), alpha=(-1, 1, 3))


def test_evaluate_gives_back_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(2)
    lossgrid.evaluate(made(0.0), samples(), alpha=(-1, 1, 3))
    assert torch.get_num_threads() == 2


def test_float32_is_float32_where_autocast_was_left_on() -> None:
    expected = lossgrid.evaluate(made(0.0), samples(), alpha=(-1, 1, 3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = lossgrid.evaluate(made(0.0), samples(), alpha=(-1, 1, 3))
    assert found["train_loss"].tolist() == expected["train_loss"].tolist()


def test_status_says_how_far_it_is() -> None:
    surface = lossgrid.evaluate(made(0.0), samples(), alpha=(-1, 1, 3), precision="bfloat16")
    lines = "\n".join(as_lines(summarise(surface)))
    assert "bfloat16 differs from float32 at" in lines


def test_every_precision_of_the_settings_has_its_tolerances() -> None:
    assert set(get_args(Precision)) == set(PRECISIONS)
    for one in PRECISIONS.values():
        assert one.same_conditions <= one.other_conditions <= one.surfaces
        assert one.is_lower == (one.name in ("tf32", "float16", "bfloat16"))
    assert precision_of("of another program").name == "float32"
