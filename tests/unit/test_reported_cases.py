"""Networks, losses and calls that people reported: each is right now, against a slow float64 loop, or one line.

Other reports have their tests where the part is tested: losses that are no mean, weights in a loss, one logit for two
classes, an axis of classes that can be two, and outputs that depend on their batch in test_losses.py; ``ignore_index``
and soft targets in test_built_in_losses.py; normalisations by buffers in test_same_function.py; complex weights in
test_complex.py; lazy modules and TorchScript in test_input_states.py; samples spread over sorted classes in
test_input_data.py; Ctrl-C in test_interrupt.py; checkpoints of Lightning in test_checkpoint_layouts.py; surfaces in
notebooks in test_views.py.
"""

from __future__ import annotations

import builtins
import copy
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lossgrid
from lossgrid.errors import InputError
from tests.builders import a_batch, a_perceptron, a_surface

ALPHAS = (-1.0, -0.5, 0.0, 0.5, 1.0)
Entries = Mapping[str, torch.Tensor]


def losses_on_a_line(
    fresh: Callable[[], nn.Module],
    delta: Entries,
    data: tuple[torch.Tensor, torch.Tensor],
    alphas: tuple[float, ...] = ALPHAS,
) -> list[float]:
    """Return the mean cross-entropy at theta* + alpha delta, sample by sample in float64; each of a fresh network."""
    found = []
    for alpha in alphas:
        moved = fresh().double().eval()
        with torch.no_grad():
            for name, entry in moved.state_dict(keep_vars=True).items():
                if name in delta:
                    entry.add_(alpha * delta[name].double())
        each = [F.cross_entropy(moved(x[None].double()), y[None]) for x, y in zip(*data, strict=True)]
        found.append(float(torch.stack(each).mean().detach()))
    return found


def a_line(model: nn.Module, delta: Entries, data: tuple[torch.Tensor, torch.Tensor], **options: object) -> np.ndarray:
    surface = lossgrid.evaluate(model, data, alpha=(-1, 1, 5), directions=[dict(delta)], **options)  # type: ignore[arg-type]
    return surface["train_loss"]


# networks


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm], ids=lambda norm: norm.__name__)
def test_networks_with_hooks_that_compute_weights_are_evaluated(norm: Callable[[nn.Module], nn.Module]) -> None:
    """``copy.deepcopy`` refuses these networks, once they have run."""

    def fresh() -> nn.Module:
        model = a_perceptron(6, 8, 4, activation=nn.Tanh)
        norm(model[0])
        return model

    model, data = fresh(), a_batch(30, 6, classes=4)
    model.eval()(data[0])
    own = dict(model.named_parameters())
    (name,) = (name for name in ("0.weight_v", "0.weight_orig") if name in own)
    delta = {name: 0.5 * torch.randn(8, 6, generator=torch.Generator().manual_seed(1)), "2.bias": torch.ones(4)}
    np.testing.assert_allclose(a_line(model, delta, data), losses_on_a_line(fresh, delta, data), rtol=1e-6)


class Physical(nn.Module):
    """Returns u and its derivative by the input, which it computes in its own forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = a_perceptron(1, 8, 1, activation=nn.Tanh)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone().requires_grad_(True)
            u = self.inner(x)
            (slope,) = torch.autograd.grad(u.sum(), x)
        return torch.cat([u.detach(), slope], dim=1)


def test_a_network_that_torch_fx_cannot_follow_is_right_and_leaves_no_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    torch.manual_seed(0)
    model = Physical()
    data = (torch.linspace(-1, 1, 20)[:, None], torch.arange(20) % 2)
    delta = {"inner.0.weight": torch.linspace(-1, 1, 8)[:, None], "inner.2.bias": torch.ones(1)}
    np.testing.assert_allclose(
        a_line(model, delta, data), losses_on_a_line(lambda: copy.deepcopy(model), delta, data), rtol=1e-6
    )
    said = caplog.text + "".join(capfd.readouterr())
    assert "Traceback" not in said
    assert "While executing" not in said


def test_variances_below_0_beyond_two_networks_are_explained(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 4)).eval()
    second = copy.deepcopy(first)
    with torch.no_grad():
        second[1].running_var.mul_(4)  # 1 + 3 alpha: below 0 for alpha < -1/3
    data = a_batch(30, 6, classes=4)
    line = lossgrid.evaluate(first, data, to=second, alpha=(-1, 1, 5))["train_loss"]
    delta = {"1.running_var": 3 * first[1].running_var}
    assert np.isnan(line[:2]).all()
    expected = losses_on_a_line(lambda: copy.deepcopy(first), delta, data, ALPHAS[2:])
    np.testing.assert_allclose(line[2:], expected, rtol=1e-6)
    assert "2 points have a loss that is not finite" in caplog.text
    assert "the variance of 1 normalisation layers, such as 1.running_var, is below 0" in caplog.text
    assert "keep the range within 0:1" in caplog.text


class Shifted(nn.Module):
    """A network behind a shift of its inputs."""

    def __init__(self, inner: nn.Module, features: int) -> None:
        super().__init__()
        self.inner = inner
        self.shift = nn.Parameter(torch.zeros(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x + self.shift)


def test_a_shift_of_the_inputs_is_a_parameter_as_any_other() -> None:
    """The landscape over the inputs: the network stays, its inputs move along a direction."""
    inner = a_perceptron(6, 8, 4)
    inputs, targets = a_batch(30, 6, classes=4)
    towards = torch.linspace(-1, 2, 6)
    found = a_line(Shifted(inner, 6), {"shift": towards}, (inputs, targets))
    for alpha, loss in zip(ALPHAS, found, strict=True):
        (expected,) = losses_on_a_line(lambda: copy.deepcopy(inner), {}, (inputs + alpha * towards, targets), (0.0,))
        assert loss == pytest.approx(expected, rel=1e-6)


# targets


def test_classes_stored_as_real_numbers_are_answered_with_their_conversion() -> None:
    inputs, targets = a_batch(30, 6, classes=4)
    with pytest.raises(InputError) as caught:
        lossgrid.evaluate(a_perceptron(6, 8, 4), (inputs, targets.float()), alpha=(0, 1, 2))
    said = str(caught.value)
    assert "\n" not in said
    assert "integer" in said


# names in Python


def test_a_star_import_keeps_pythons_own_open() -> None:
    names: dict[str, object] = {}
    exec("from lossgrid import *", names)
    assert names.get("open", builtins.open) is builtins.open
    assert names["evaluate"] is lossgrid.evaluate


def test_a_figure_is_saved_by_name(tmp_path: Path) -> None:
    figure = lossgrid.plot.draw(a_surface({"train_loss": np.arange(5.0)}))
    path = lossgrid.plot.save(figure, str(tmp_path / "line.png"))
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="exists"):
        lossgrid.plot.save(figure, path)
