"""Numbers of other kinds: complex entries keep both parts, and no cast loses anything without a word."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lossgrid
from lossgrid import directions
from lossgrid.errors import InputError
from lossgrid.evaluation import Plane, choose_device
from lossgrid.evaluation.conversion import to_device
from tests.builders import a_batch


class Spectral(nn.Module):
    """Multiplies in Fourier space by complex weights, as neural operators do."""

    def __init__(self, dtype: torch.dtype = torch.cfloat) -> None:
        super().__init__()
        self.spectrum = nn.Parameter(torch.randn(4, 4, dtype=dtype))
        self.head = nn.Linear(6, 3)
        self.register_buffer("phase", torch.randn(4, dtype=dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        coefficients = torch.fft.rfft(x) @ self.spectrum * self.phase
        return self.head(torch.fft.irfft(coefficients, n=6))


def made(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return Spectral().eval().requires_grad_(False)


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    return a_batch(20, 6, classes=3, seed=2)


def reference(entries: dict[str, torch.Tensor]) -> float:
    """Return the loss of a network with these entries, in float64 and complex128, sample by sample."""
    losses = []
    for x, y in zip(*samples(), strict=True):
        coefficients = torch.fft.rfft(x.double()) @ entries["spectrum"] * entries["phase"]
        logits = F.linear(torch.fft.irfft(coefficients, n=6), entries["head.weight"], entries["head.bias"])
        losses.append(float(F.cross_entropy(logits[None], y[None])))
    return float(np.mean(losses))


def exact(model: nn.Module) -> dict[str, torch.Tensor]:
    return {n: e.to(torch.complex128 if e.is_complex() else torch.float64) for n, e in model.state_dict().items()}


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 2e-6), ("float64", 1e-12)])
def test_a_line_between_complex_networks_is_right_everywhere(precision: str, tolerance: float) -> None:
    start, end = made(), made(1)
    line = lossgrid.evaluate(start, samples(), alpha=(-0.5, 1.5, 5), to=end, precision=precision)
    here, there = exact(start), exact(end)
    expected = [reference({n: here[n] + a * (there[n] - here[n]) for n in here}) for a in line.alpha.tolist()]
    np.testing.assert_allclose(line["train_loss"], expected, rtol=tolerance)


def test_random_directions_move_both_parts_by_the_length_of_the_filter() -> None:
    model = made()
    theta = directions.parameters(model)
    drawn = directions.gaussian(theta, seed=3, axis=0)
    assert drawn["spectrum"].dtype == torch.complex128
    assert bool((drawn["spectrum"].imag != 0).all())
    for norm, axes in (("filter", 1), ("layer", (0, 1))):
        made_of = directions.normalise(drawn, theta, norm)["spectrum"]
        np.testing.assert_allclose(
            np.linalg.norm(made_of.numpy(), axis=axes), np.linalg.norm(theta["spectrum"].numpy(), axis=axes), rtol=1e-6
        )
    line = lossgrid.evaluate(model, samples(), alpha=(-1, 1, 3), seed=3)
    delta = directions.normalise(drawn, theta, "filter")
    own = {n: e + delta.get(n, 0.0) * 1.0 for n, e in exact(model).items() if n != "head.weight"}
    own["head.weight"] = (
        exact(model)["head.weight"]
        + directions.normalise(directions.gaussian(theta, seed=3, axis=0), theta, "filter")["head.weight"]
    )
    assert line["train_loss"][2] == pytest.approx(reference(own), rel=5e-6)


def test_complex_directions_are_kept_whole_in_files_and_from_python(tmp_path: Path) -> None:
    model = made()
    delta = {"spectrum": torch.randn(4, 4, dtype=torch.cdouble)}
    line = lossgrid.evaluate(model, samples(), alpha=(0, 1, 2), directions=[delta])
    moved = exact(model)
    moved["spectrum"] = moved["spectrum"] + delta["spectrum"]
    assert line["train_loss"][1] == pytest.approx(reference(moved), rel=2e-6)


def test_a_complex_direction_for_a_real_entry_is_refused() -> None:
    with pytest.raises(InputError, match="complex"):
        lossgrid.evaluate(made(), samples(), alpha=(0, 1, 2), directions=[{"head.weight": torch.ones(3, 6) * 1j}])


def test_planes_move_complex_entries_and_give_them_back() -> None:
    model = made()
    before = {name: entry.clone() for name, entry in model.state_dict().items()}
    delta = {"spectrum": torch.full((4, 4), 1 + 2j), "head.bias": torch.ones(3)}
    plane = Plane(model, delta)
    plane.move(0.5)
    torch.testing.assert_close(model.spectrum.detach(), before["spectrum"] + (0.5 + 1j))
    plane.restore()
    assert all(torch.equal(entry, before[name]) for name, entry in model.state_dict().items())


@pytest.mark.parametrize(
    ("dtype", "precision", "becomes"),
    [
        (torch.cfloat, "float32", torch.cfloat), (torch.cfloat, "float64", torch.cdouble),
        (torch.cdouble, "float64", torch.cdouble), (torch.cdouble, "bfloat16", torch.cfloat),
    ],
)  # fmt: skip
def test_complex_entries_have_the_precision_of_the_run(
    dtype: torch.dtype, precision: str, becomes: torch.dtype
) -> None:
    model = to_device(Spectral(dtype), choose_device("cpu", precision, local_rank=0))
    assert model.spectrum.dtype == model.phase.dtype == becomes
    assert bool((model.spectrum.imag != 0).all())


class Kept(nn.Module):
    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.register_buffer("value", value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) * self.value.float().mean()


def test_digits_that_are_lost_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    third = torch.tensor([1 / 3], dtype=torch.float64)
    lossgrid.evaluate(Kept(third), samples(), alpha=(0, 1, 2))
    told = "value: rounded to float32; --precision float64 keeps all digits"
    assert [record.message for record in caplog.records if "rounded" in record.message] == [told]  # once
    caplog.clear()
    lossgrid.evaluate(Kept(torch.tensor([0.5], dtype=torch.float64)), samples(), alpha=(0, 1, 2))
    lossgrid.evaluate(Kept(third), samples(), alpha=(0, 1, 2), precision="float64")
    lossgrid.evaluate(Kept(torch.tensor([2**40])), samples(), alpha=(0, 1, 2))
    assert "rounded" not in caplog.text


def test_numbers_beyond_the_range_are_refused() -> None:
    with pytest.raises(InputError, match="value of the network holds numbers beyond the range of float32"):
        lossgrid.evaluate(Kept(torch.tensor([1e300], dtype=torch.float64)), samples(), alpha=(0, 1, 2))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:TypedStorage")
def test_quantised_numbers_are_refused() -> None:
    quantised = torch.quantize_per_tensor(torch.randn(4), 0.1, 0, torch.qint8)
    with pytest.raises(InputError, match="value is quantised"):
        lossgrid.evaluate(Kept(quantised), samples(), alpha=(0, 1, 2))
