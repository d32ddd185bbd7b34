"""Derivatives by the inputs: physics-informed networks against closed forms and slow loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lossgrid
from lossgrid.errors import InputError
from tests.builders import a_perceptron

POINTS = torch.linspace(-3, 3, 41, dtype=torch.float64)[:, None]
DATA = (POINTS, torch.zeros_like(POINTS))
NETS = pytest.mark.parametrize("kind", ["exact", "perceptron"])


class Exact(nn.Module):
    """A solution of u'' = -u: a sin(x + b)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(1.7)), nn.Parameter(torch.tensor(0.4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a * torch.sin(x + self.b)


class Solution(Exact):
    """The same with a frequency, 1 at the solution."""

    def __init__(self) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a * torch.sin(self.k * x + self.b)


def second_derivative(u: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    return torch.autograd.grad(slope.sum(), x, create_graph=True)[0]


def physics(model: Any, batch: Any) -> dict[str, torch.Tensor]:
    x, _ = batch
    u = model(x)
    residual = (second_derivative(u, x) + u)[:, 0]
    return {"loss": residual.square(), "residual": residual.abs()}


physics.needs_grad = True  # type: ignore[attr-defined]


def made(kind: str) -> nn.Module:
    return Solution() if kind == "exact" else a_perceptron(1, 9, 1, activation=nn.Tanh)


def direction_of(model: nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return {name: torch.randn(entry.shape, generator=generator) for name, entry in model.named_parameters()}


def residuals(kind: str, alpha: float) -> list[float]:
    """Return u'' + u of each point by its closed form, in plain Python."""
    model = made(kind)
    entries = {
        name: (entry.double() + alpha * direction_of(model)[name].double()).detach().reshape(-1).tolist()
        for name, entry in model.named_parameters()
    }
    found = []
    for x in POINTS[:, 0].tolist():
        if kind == "exact":
            a, b, k = (entries[name][0] for name in "abk")
            found.append((1 - k * k) * a * math.sin(k * x + b))
            continue
        u, curvature = entries["2.bias"][0], 0.0
        for weight, bias, outer in zip(entries["0.weight"], entries["0.bias"], entries["2.weight"], strict=True):
            t = math.tanh(weight * x + bias)
            u += outer * t
            curvature += outer * weight**2 * -2 * t * (1 - t * t)
        found.append(u + curvature)
    return found


def evaluate(kind: str, data: Any = DATA, **options: Any) -> lossgrid.Surface:
    model = made(kind)
    given = {"alpha": (-1, 1, 5), "precision": "float64", "directions": [direction_of(model)], **options}
    return lossgrid.evaluate(model, data, **given)


@NETS
@pytest.mark.parametrize("batch_size", ["auto", 7])
def test_a_step_with_second_derivatives(kind: str, batch_size: Any) -> None:
    surface = evaluate(kind, step=physics, batch_size=batch_size)
    expected = [residuals(kind, alpha) for alpha in surface.alpha]
    np.testing.assert_allclose(
        surface["train_loss"], [np.mean(np.square(row)) for row in expected], rtol=1e-10, atol=1e-25
    )
    np.testing.assert_allclose(
        surface["train_residual"], [np.mean(np.abs(row)) for row in expected], rtol=1e-10, atol=1e-12
    )
    if kind == "exact":
        assert surface["train_residual"][2] < 1e-12


def test_samples_without_targets_are_enough() -> None:
    def alone(model: Any, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return physics(model, (x, None))

    alone.needs_grad = True  # type: ignore[attr-defined]
    surface = evaluate("exact", POINTS, step=alone)
    assert surface["train_residual"][2] < 1e-12


class Curved(nn.Module):
    """Returns u and u'', for a loss of outputs and targets."""

    def __init__(self) -> None:
        super().__init__()
        self.net = made("perceptron")

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        u = self.net(x)
        return {"u": u, "curvature": second_derivative(u, x)}


class Both(nn.Module):
    """Returns u and x, of which a loss can take derivatives itself."""

    def __init__(self) -> None:
        super().__init__()
        self.net = made("perceptron")

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.net(x), x


@pytest.mark.parametrize("network", [Curved, Both])
@pytest.mark.parametrize("is_mean", [True, False])
def test_a_loss_with_derivatives_in_the_network_or_of_its_own(network: type[nn.Module], is_mean: bool) -> None:
    def loss(outputs: Any, targets: torch.Tensor) -> torch.Tensor:
        if isinstance(outputs, dict):
            residual = outputs["u"] + outputs["curvature"]
        else:
            residual = outputs[0] + second_derivative(*outputs)
        squares = (residual - targets).square()[:, 0]
        return squares.mean() if is_mean else squares

    loss.needs_grad = True  # type: ignore[attr-defined]
    direction = {f"net.{name}": entry for name, entry in direction_of(made("perceptron")).items()}
    surface = lossgrid.evaluate(
        network(), DATA, alpha=(-1, 1, 3), precision="float64", directions=[direction], loss=loss, batch_size=8
    )
    expected = [np.mean(np.square(residuals("perceptron", alpha))) for alpha in surface.alpha]
    np.testing.assert_allclose(surface["train_loss"], expected, rtol=1e-10)


def test_only_the_plain_network_has_derivatives(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        surface = evaluate("exact", step=physics)
    assert surface.origin.recipe.variant == "plain"
    assert "derivatives by the inputs are taken, of the network as it is" in caplog.text
    with pytest.raises(InputError, match="variant folded: derivatives by the inputs are taken"):
        evaluate("exact", step=physics, variant="folded")


def test_parameters_take_no_gradient_and_inputs_keep_none() -> None:
    seen = []

    def looks(model: Any, batch: Any) -> dict[str, torch.Tensor]:
        x, y = batch
        u = model(x)
        u.sum().backward()  # leaves a gradient in x
        seen.append((x.grad is not None, any(p.requires_grad for p in model.parameters()), y.requires_grad))
        return {"loss": x.grad[:, 0].square()}

    looks.needs_grad = True  # type: ignore[attr-defined]
    points = POINTS.clone()
    surface = evaluate("exact", (points, torch.zeros_like(points)), step=looks)
    assert set(seen) == {(True, False, False)}
    assert points.grad is None
    a, b = float(np.float32(1.7)), float(np.float32(0.4))
    expected = np.mean([(a * math.cos(x + b)) ** 2 for x in POINTS[:, 0].tolist()])
    assert surface["train_loss"][2] == pytest.approx(expected, rel=1e-10)


def test_without_the_attribute_the_error_tells_of_it() -> None:
    def plain(model: Any, batch: Any) -> dict[str, torch.Tensor]:
        return physics(model, batch)

    with pytest.raises(InputError, match=r"set the attribute needs_grad = True on your loss or step") as caught:
        evaluate("exact", step=plain)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"set the attribute needs_grad = True on your loss or step"):
        lossgrid.evaluate(Curved(), DATA, alpha=(0, 1, 2), loss=lambda outputs, targets: outputs["u"][:, 0])
