"""Variants of a network, folded, fused, compiled: the same function at every point, or not done."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F

from lossgrid import models
from lossgrid.data.batch import NOTHING, Batch
from lossgrid.evaluation import Device, Differs, Evaluator, Unsuitable
from lossgrid.evaluation.forward import Forward
from lossgrid.evaluation.network import Network, make_network
from lossgrid.evaluation.plane import Plane
from lossgrid.evaluation.sameness import THETA, refuse_other_function
from tests.builders import a_batch, a_direction, an_evaluator, fuses_bfloat16
from tests.families import further

CPU = torch.device("cpu")
DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.float32}
# variant, precision, largest difference from the plain network in float64, as a share of the largest output
REWRITTEN = [
    ("folded", "float64", 1e-12),
    ("fused", "float32", 1e-5),
    pytest.param("fused", "bfloat16", 5e-2, marks=fuses_bfloat16),
]


@pytest.fixture(autouse=True)
def small_layers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fuse also layers that are too small for it to pay: the tests' are."""
    monkeypatch.setattr("lossgrid.evaluation.libraries.LEAST_WEIGHTS", 0)


def shaken(model: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Return the model, evaluating, with statistics and scales that are not the defaults."""
    torch.manual_seed(0)
    model = model.to(dtype).eval().requires_grad_(False)
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


def of(variant: str, model: nn.Module, sample: torch.Tensor, precision: str = "float64") -> Network:
    device = Device(CPU, precision, DTYPES[precision], "cpu")
    network = make_network(variant, model, sample, device)
    batch = Batch(sample, NOTHING)
    refuse_other_function(Forward(), network.run, network.refresh, model, Plane(model, {}), [THETA], [batch], device)
    return network


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.double() - other.double()).abs().max() / other.double().abs().max())


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


def several_readers(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    a = m.norm(m.conv(x))
    b = F.relu(a)
    c = m.other(x)
    d = F.relu(c + b)
    e = F.relu(x)
    return F.relu(a + b) + d + c + e + x


def blocks(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    a = F.relu(m.norm(m.conv(x)))
    a = F.relu(m.other(a) + a)  # may overwrite a: nobody reads it again
    b = F.relu(m.third(a) + a)  # may not: a view of it is read at the end
    return b + a.flatten(1).view_as(a)


def changed_by_another(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    a = m.conv(x)
    b = m.other(F.relu(m.third(x)))
    return F.relu(b + a) * a


FOLDED = {
    "conv without bias": (Module(lambda m, x: m.norm(m.conv(x)), conv=conv(bias=False), norm=nn.BatchNorm2d(3)), 1),
    "conv with bias": (Module(lambda m, x: m.norm(m.conv(x)), conv=conv(), norm=nn.BatchNorm2d(3)), 1),
    "groups": (Module(lambda m, x: m.norm(m.conv(x)), conv=conv(6, groups=3), norm=nn.BatchNorm2d(6)), 1),
    "stride and dilation": (
        Module(lambda m, x: m.norm(m.conv(x)), conv=conv(4, stride=2, dilation=2), norm=nn.BatchNorm2d(4)), 1
    ),
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
    "idle layers": (
        Module(lambda m, x: m.norm(m.idle(m.conv(x))), conv=conv(), idle=nn.Dropout(0.5), norm=nn.BatchNorm2d(3)), 1
    ),
    "several readers": (Module(several_readers, conv=conv(), norm=nn.BatchNorm2d(3), other=conv()), 1),
    "blocks": (Module(blocks, conv=conv(), norm=nn.BatchNorm2d(3), other=conv(), third=conv()), 1),
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
FUSED = {
    "gelu": Module(lambda m, x: F.gelu(m.linear(x.flatten(1))), linear=nn.Linear(192, 4)),
    "gelu by tanh": Module(lambda m, x: m.act(m.conv(x)), conv=conv(), act=nn.GELU(approximate="tanh")),
    "silu": Module(lambda m, x: m.act(m.conv(x)), conv=conv(), act=nn.SiLU()),
    "features of tokens": Module(
        lambda m, x: x.flatten(2) + m.linear(x.flatten(2)), linear=nn.Linear(64, 64, bias=False)
    ),
    "sum of two layers": Module(lambda m, x: F.relu(m.conv(x) + m.other(x)), conv=conv(), other=conv()),
    "a sum with a number": Module(lambda m, x: F.relu(m.conv(x) + 1.0), conv=conv()),
    "a sum that spreads": Module(lambda m, x: F.relu(m.conv(x) + m.other(x[:1])), conv=conv(), other=conv()),
    "a sum with itself": Module(lambda m, x: (lambda y: F.relu(y + y))(m.conv(x)), conv=conv()),
    "changed by another": Module(changed_by_another, conv=conv(), other=conv(), third=conv()),
    "padding by name": Module(lambda m, x: F.relu(m.one(m.two(x))), one=nn.Conv2d(3, 3, 3, padding="same"), two=conv()),
}


@pytest.mark.parametrize("case", FOLDED)
@pytest.mark.parametrize(("variant", "precision", "tolerance"), REWRITTEN)
def test_the_same_function(case: str, variant: str, precision: str, tolerance: float) -> None:
    exact, folded = FOLDED[case]
    model = copy.deepcopy(shaken(exact)).to(DTYPES[precision])
    before = pictures().to(DTYPES[precision])
    network = of(variant, model, before, precision)
    assert f"{folded} normalisation" in network.about
    device = Device(CPU, precision, DTYPES[precision], "cpu")
    for count in (5, 2):
        inputs = pictures(count=count)
        with torch.inference_mode(), device.autocast():
            found = network.run(inputs.to(DTYPES[precision]))
        with torch.no_grad():
            assert distance(found, exact(inputs)) < tolerance
    assert torch.equal(before.double(), pictures().to(before.dtype).double())  # nothing was computed in place in it


@pytest.mark.parametrize("case", LEFT)
def test_what_cannot_be_folded_is_left(case: str) -> None:
    with pytest.raises(Unsuitable, match="no normalisation follows"):
        of("folded", shaken(LEFT[case]), pictures())


@pytest.mark.parametrize("case", [*LEFT, *FUSED])
def test_fused_layers_are_the_same_function(case: str) -> None:
    model = shaken({**LEFT, **FUSED}[case], torch.float32)
    inputs = pictures().float()
    assert distance(of("fused", model, inputs, "float32").run(inputs), model(inputs)) < 1e-5


def test_layers_without_a_kernel_are_left() -> None:
    reflecting = Module(lambda m, x: F.relu(m.conv(x)), conv=conv(padding_mode="reflect"))
    with pytest.raises(Unsuitable, match="no layer with a fused kernel"):
        of("fused", shaken(reflecting, torch.float32), pictures().float(), "float32")


def calls(network: Network) -> list[str]:
    """Return what the graph of a network calls, in its order."""
    assert isinstance(network.run, fx.GraphModule)
    return [str(node.target) for node in network.run.graph.nodes if node.op.startswith("call")]


def test_sums_go_over_what_nobody_reads_again() -> None:
    def block(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        a = F.relu(m.first(x))
        return F.relu(m.third(F.relu(m.second(a))) + a)

    def fused(model: nn.Module) -> list[str]:
        return calls(of("fused", shaken(model, torch.float32), pictures().float(), "float32"))

    single, over, beside = (f"mkldnn._convolution_pointwise{end}" for end in (".default", "_.binary", ".binary"))
    assert fused(Module(block, first=conv(), second=conv(), third=conv())) == [single, single, over]
    assert fused(Module(lambda m, x: F.relu(m.conv(x) + x), conv=conv())) == [beside]
    assert fused(Module(lambda m, x: (lambda a: m.two(a) + a)(m.one(x)), one=conv(), two=conv())) == [single, beside]


def test_values_others_read_are_not_overwritten() -> None:
    model = shaken(FOLDED["several readers"][0])
    x = pictures()
    expected = model(x)
    with torch.inference_mode():
        torch.testing.assert_close(of("folded", model, x).run(x), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(x, pictures())


def test_hooked_layers_are_left_alone() -> None:
    model = shaken(Module(FOLDED["conv with bias"][0]._run, conv=conv(), norm=nn.BatchNorm2d(3)), torch.float32)
    model.conv.register_forward_hook(lambda module, inputs, output: 2 * output)  # type: ignore[union-attr, operator]
    for variant in ("folded", "fused"):
        with pytest.raises(Unsuitable, match=r"no normalisation follows|no layer with"):
            of(variant, model, pictures().float(), "float32")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20", "resnet20_noshort", "resnet50", "vgg9", "densenet121"])
@pytest.mark.parametrize(
    ("variant", "precision", "tolerance"), [("folded", "float64", 1e-10), ("fused", "float32", 1e-4)]
)
def test_networks_of_the_registry_follow_their_weights(
    name: str, variant: str, precision: str, tolerance: float
) -> None:
    model = shaken(models.build(name, {}, facts={}), DTYPES[precision])
    x = torch.randn(2, 3, 32, 32, dtype=DTYPES[precision])
    network = of(variant, model, x, precision)
    norms = sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    before_layers = 62 if name == "densenet121" else 0  # 58 first ones of its dense layers, 3 transitions, the last
    assert network.about.startswith(f"{norms - before_layers} normalisations folded")
    with torch.inference_mode():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        stale = network.run(x)
        network.refresh()
        expected = model(x)
        assert distance(network.run(x), expected) < tolerance
        assert distance(stale, expected) > 100 * tolerance


def evaluator(model: nn.Module, precision: str = "float64", batch_size: int = 4) -> Evaluator:
    batch, delta = a_batch(10, 3, 8, 8, classes=3, seed=2), a_direction(model, everything=True)
    return an_evaluator(model, batch, delta=delta, precision=precision, batch_size=batch_size)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "precision", "tolerance"),
    [
        ("folded", "float64", 1e-11), ("folded", "float32", 1e-4), ("folded", "bfloat16", 0.2),
        ("fused", "float32", 1e-4), pytest.param("fused", "bfloat16", 0.2, marks=fuses_bfloat16),
        further("compiled", "float64", 1e-11), ("compiled", "float32", 1e-4),
    ],
)  # fmt: skip
def test_points_are_those_of_the_plain_network(variant: str, precision: str, tolerance: float) -> None:
    def net() -> nn.Module:
        torch.manual_seed(7)
        return shaken(models.build("resnet20", {}, facts={"num_classes": 3}))

    plain, fast = evaluator(net(), precision), evaluator(net(), precision)
    fast = fast.with_variant(variant)
    assert (plain.network.variant, fast.network.variant) == ("plain", variant)
    for alpha in (0.0, 0.02, -0.05):
        assert fast.point(alpha).values[0] == pytest.approx(plain.point(alpha).values[0], rel=tolerance)
    fast = fast.with_variant("plain")
    assert fast.point(0.02).values[0] == plain.point(0.02).values[0]


def test_a_point_in_float32_is_that_of_the_plain_network() -> None:
    def net() -> nn.Module:
        torch.manual_seed(7)
        return shaken(models.build("resnet20", {}, facts={"num_classes": 3}))

    low, plain = evaluator(net(), "bfloat16"), evaluator(net(), "float32")
    low = low.with_variant("folded")
    assert low.point_in_float32(0.02).tolist() == plain.point(0.02).values.tolist()
    assert low.point(0.02).values[0] != plain.point(0.02).values[0]


def test_control_flow_keeps_the_network_plain() -> None:
    def forward(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = m.norm(m.conv(x))
        return (y if y.sum() > 0 else -y).flatten(1)[:, :3]

    branching = evaluator(shaken(Module(forward, conv=conv(), norm=nn.BatchNorm2d(3))))
    with pytest.raises(Unsuitable, match=r"torch.fx cannot follow the network \(TraceError\)"):
        branching.with_variant("folded")
    assert branching.network.variant == "plain"
    assert math.isfinite(branching.point(0.1).values[0])


def test_sums_in_place_that_torch_fx_misses_are_found() -> None:
    def forward(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = m.norm(m.conv(x))
        z = y
        z += x  # changes y too; torch.fx takes it for a new value
        return (y * z).flatten(1)[:, :3]

    missed = evaluator(shaken(Module(forward, conv=conv(), norm=nn.BatchNorm2d(3))))
    with pytest.raises(Differs, match="its outputs differ by"):
        missed.with_variant("folded")


def test_a_trace_that_is_another_function_is_found_on_the_first_batch() -> None:
    class Sly(Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = super().forward(x)
            return out if isinstance(x, torch.Tensor) else out + 1  # what torch.fx sees is no tensor

    def run(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return m.norm(m.conv(x)).flatten(1)[:, :3]

    sly = evaluator(shaken(Sly(run, conv=conv(), norm=nn.BatchNorm2d(3))), "float32")
    for variant in ("folded", "fused"):
        with pytest.raises(Differs, match="its outputs differ by"):
            sly.with_variant(variant)
    assert sly.network.variant == "plain"


def test_kernels_that_are_missing_are_gone_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object) -> None:
        raise RuntimeError("no such kernel\non this machine")

    monkeypatch.setattr("lossgrid.evaluation.libraries.OneDNN.call", lambda *arguments: (missing, ()))
    lacking = evaluator(shaken(models.build("resnet20", {}, facts={"num_classes": 3})), "float32")
    with pytest.raises(Unsuitable, match=r"it fails \(RuntimeError: no such kernel\)"):
        lacking.with_variant("fused")


def test_networks_without_layers_stay_plain() -> None:
    for variant, words in (("folded", "no normalisation"), ("fused", "no fused kernels for float64")):
        with pytest.raises(Unsuitable, match=words):
            evaluator(shaken(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)))).with_variant(variant)


def test_cuda_graphs_need_cuda() -> None:
    with pytest.raises(Unsuitable, match="no CUDA device"):
        evaluator(shaken(models.build("resnet20", {}, facts={"num_classes": 3}))).with_graphs()


def test_small_layers_are_not_worth_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossgrid.evaluation.libraries.LEAST_WEIGHTS", 100)
    model = nn.Sequential(nn.Linear(10, 9), nn.Linear(9, 12), nn.Linear(12, 9)).eval().requires_grad_(False)
    assert "2 layers fused" in of("fused", model, torch.randn(3, 10), "float32").about
