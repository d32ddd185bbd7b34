"""Normalisation folded into the layers before it: the same function at every point, or not done."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lossgrid import data, directions, models
from lossgrid.evaluation import Evaluator, choose_place, make_objective
from lossgrid.evaluation.fused import fuse


def shaken(model: nn.Module) -> nn.Module:
    """Return the model in float64, evaluating, with statistics and scales that are not the defaults."""
    torch.manual_seed(0)
    model = model.double().eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                module.weight.normal_()
                module.bias.normal_()
    return model


def pictures(channels: int = 3, count: int = 5) -> torch.Tensor:
    return torch.randn(count, channels, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Module(nn.Module):
    """A network of some layers and a function that says how they go together."""

    def __init__(self, forward: Callable[..., torch.Tensor], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self._run = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._run(self, x)


def conv(channels: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(3, channels, 3, padding=1, **options)  # type: ignore[arg-type]


FOLDED = {
    "conv without bias": (Module(lambda m, x: m.norm(m.conv(x)), conv=conv(bias=False), norm=nn.BatchNorm2d(3)), 1),
    "conv with bias": (Module(lambda m, x: m.norm(m.conv(x)), conv=conv(), norm=nn.BatchNorm2d(3)), 1),
    "groups": (Module(lambda m, x: m.norm(m.conv(x)), conv=conv(6, groups=3), norm=nn.BatchNorm2d(6)), 1),
    "norm without scale": (
        Module(lambda m, x: m.norm(m.conv(x)), conv=conv(), norm=nn.BatchNorm2d(3, affine=False)), 1
    ),
    "linear": (
        Module(lambda m, x: m.norm(m.linear(x.flatten(1))), linear=nn.Linear(192, 4), norm=nn.BatchNorm1d(4)), 1
    ),
    "residual": (
        Module(lambda m, x: F.relu(m.norm(m.conv(x)) + x), conv=conv(), norm=nn.BatchNorm2d(3)), 1
    ),
    "relu as a layer": (
        Module(lambda m, x: m.relu(m.norm(m.conv(x))), conv=conv(), norm=nn.BatchNorm2d(3), relu=nn.ReLU()), 1
    ),
}  # fmt: skip
LEFT = {
    "norm first": Module(lambda m, x: m.conv(m.norm(x)), conv=conv(), norm=nn.BatchNorm2d(3)),
    "also read elsewhere": Module(
        lambda m, x: (lambda y: m.norm(y) + y)(m.conv(x)), conv=conv(), norm=nn.BatchNorm2d(3)
    ),
    "shared norm": Module(lambda m, x: m.norm(m.two(m.norm(m.one(x)))), one=conv(), two=conv(), norm=nn.BatchNorm2d(3)),
    "shared conv": Module(lambda m, x: m.norm(m.conv(m.conv(x))), conv=conv(), norm=nn.BatchNorm2d(3)),
    "batch statistics": Module(
        lambda m, x: m.norm(m.conv(x)), conv=conv(), norm=nn.BatchNorm2d(3, track_running_stats=False)
    ),
    "features that are no channels": Module(
        lambda m, x: m.norm(m.linear(x.flatten(2))), linear=nn.Linear(64, 3), norm=nn.BatchNorm1d(3)
    ),
}


@pytest.mark.parametrize("case", [*FOLDED, *LEFT])
def test_the_same_function_folded_where_it_can_be(case: str) -> None:
    model, count = FOLDED.get(case) or (LEFT[case], 0)
    model = shaken(model)
    before = pictures()
    expected = model(before)
    fused = fuse(model, before)
    assert len(fused) == count
    with torch.inference_mode():
        torch.testing.assert_close(fused(before), expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(fused(pictures(count=2)), model(pictures(count=2)), rtol=1e-12, atol=1e-12)
    assert torch.equal(before, pictures())  # nothing was computed in place in the data


def test_values_others_read_are_not_overwritten() -> None:
    def forward(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        a = m.norm(m.conv(x))
        b = F.relu(a)
        c = m.other(x)
        d = F.relu(c + b)
        e = F.relu(x)
        return F.relu(a + b) + d + c + e + x

    model = shaken(Module(forward, conv=conv(), norm=nn.BatchNorm2d(3), other=conv()))
    x = pictures()
    expected = model(x)
    with torch.inference_mode():
        torch.testing.assert_close(fuse(model, x)(x), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(x, pictures())


def test_hooked_layers_are_left_alone() -> None:
    model = shaken(FOLDED["conv with bias"][0])
    model.conv.register_forward_hook(lambda module, inputs, output: 2 * output)  # type: ignore[union-attr, operator]
    x = pictures()
    with torch.inference_mode():
        fused = fuse(model, x)
        assert len(fused) == 0
        torch.testing.assert_close(fused(x), model(x))


@pytest.mark.parametrize("name", ["resnet20", "resnet20_noshort", "resnet50", "vgg9", "densenet121"])
def test_networks_of_the_registry_follow_their_weights(name: str) -> None:
    model = shaken(models.build(name, {}, facts={}))
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    fused = fuse(model, x)
    norms = sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    before_layers = 62 if name == "densenet121" else 0  # 58 first ones of its dense layers, 3 transitions, the last
    assert len(fused) == norms - before_layers
    with torch.inference_mode():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        stale = fused(x)
        fused.refresh()
        expected = model(x)
        scale = float(expected.abs().max())
        assert float((fused(x) - expected).abs().max()) < 1e-10 * scale
        assert float((stale - expected).abs().max()) > 1e-6 * scale


def evaluator(model: nn.Module, precision: str = "float64", batch_size: int = 4) -> Evaluator:
    inputs = torch.randn(10, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    split = data.split_of((inputs, torch.arange(10) % 3), source="test")
    place = choose_place("cpu", precision, local_rank=0)
    batches = data.place(split, device=place.device, dtype=place.dtype, batch_size=batch_size, channels_last=True)
    theta = directions.parameters(model)
    delta = directions.gaussian(theta, seed=0, axis=0, perturb_bias_and_norm=True)
    objective = make_objective("cross_entropy", classification=True)
    return Evaluator(model, {"train": batches}, {"train": objective}, place, delta=delta, eta=None)


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-11), ("float32", 1e-4), ("bfloat16", 0.2)])
def test_points_are_those_of_the_plain_network(precision: str, tolerance: float) -> None:
    def net() -> nn.Module:
        torch.manual_seed(7)
        return shaken(models.build("resnet20", {}, facts={"num_classes": 3}))

    plain, folded = evaluator(net(), precision), evaluator(net(), precision)
    assert folded.fuse() == ""
    assert (plain.folded, folded.folded) == (0, 21)
    for alpha in (0.0, 0.02, -0.05):
        assert folded.point(alpha)[0] == pytest.approx(plain.point(alpha)[0], rel=tolerance)
    folded.unfuse()
    assert folded.point(0.02)[0] == plain.point(0.02)[0]


def test_control_flow_keeps_the_network_plain() -> None:
    def forward(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = m.norm(m.conv(x))
        return (y if y.sum() > 0 else -y).flatten(1)[:, :3]

    branching = evaluator(shaken(Module(forward, conv=conv(), norm=nn.BatchNorm2d(3))))
    assert "torch.fx cannot follow the network (TraceError)" in branching.fuse()
    assert math.isfinite(branching.point(0.1)[0])


def test_sums_in_place_that_torch_fx_misses_are_found() -> None:
    def forward(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = m.norm(m.conv(x))
        z = y
        z += x  # changes y too; torch.fx takes it for a new value
        return (y * z).flatten(1)[:, :3]

    missed = evaluator(shaken(Module(forward, conv=conv(), norm=nn.BatchNorm2d(3))))
    assert "its outputs differ by" in missed.fuse()


def test_a_trace_that_is_another_function_is_found_on_the_first_batch() -> None:
    class Sly(Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = super().forward(x)
            return out if isinstance(x, torch.Tensor) else out + 1  # what torch.fx sees is no tensor

    def run(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return m.norm(m.conv(x)).flatten(1)[:, :3]

    sly = evaluator(shaken(Sly(run, conv=conv(), norm=nn.BatchNorm2d(3))))
    assert "its outputs differ by" in sly.fuse()
    assert sly.folded == 0


def test_networks_without_normalisation_stay_plain() -> None:
    plain = evaluator(shaken(nn.Sequential(nn.Flatten(), nn.Linear(192, 3))))
    assert "no normalisation" in plain.fuse()
