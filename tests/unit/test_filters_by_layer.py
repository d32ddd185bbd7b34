"""Filters of layers whose filters are no slices along dimension 0, and what a surface does not depend on with them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import lossgrid
from lossgrid import directions
from lossgrid.directions import Filter, filters_of
from lossgrid.errors import InputError

WIDTH = 6


class Conv1D(nn.Module):
    """A linear layer with weights (in, out), as transformers has it."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight + self.bias


Conv1D.__module__ = "transformers.pytorch_utils"
Own = type("Conv1D", (Conv1D,), {"__module__": "mine"})  # a subclass is one too
Other = type("Conv1D", (nn.Module,), {"__module__": "mine"})


class Experts(nn.Module):
    """Experts that all see the input; their outputs lie side by side."""

    def __init__(self, *, columns: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, *((8, 4) if columns else (4, 8))) / 8**0.5)
        if columns:
            self.is_transposed = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.weight.transpose(1, 2) if getattr(self, "is_transposed", False) else self.weight
        return torch.einsum("ni,eoi->neo", x, rows).flatten(1)


class Positions(nn.Module):
    """A vector for each position, which layer normalisation follows, weighted by the input."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.randn(1, 8, WIDTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-14)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[..., None] * self.norm(self.pos_embed)).sum(dim=1)


class Wave(nn.Module):
    """A complex linear layer, then the squared length of its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrum = nn.Parameter(torch.randn(WIDTH, 8, dtype=torch.cdouble))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.to(self.spectrum.dtype) @ self.spectrum.T).abs()


class Declared(nn.Module):
    """A layer of one's own with weights (in, out), which says so."""

    def __init__(self) -> None:
        super().__init__()
        self.filter_dims = {"kernel": 1}
        self.kernel = nn.Parameter(torch.randn(8, WIDTH) / 8**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.kernel


class Adapter(nn.Module):
    """Low-rank matrices beside a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(8, WIDTH)
        self.lora_A = nn.Parameter(torch.randn(2, 8) / 8**0.5)
        self.lora_B = nn.Parameter(torch.randn(WIDTH, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + x @ self.lora_A.T @ self.lora_B.T


class Signal(nn.Module):
    """A transposed convolution of 4 channels of 2 numbers."""

    def __init__(self, *, groups: int = 1, kind: str = "new") -> None:
        super().__init__()
        torch.manual_seed(2)
        convolution = nn.ConvTranspose1d(4, WIDTH, 2, groups=groups)
        wrap = parametrizations.weight_norm if kind == "new" else nn.utils.weight_norm
        self.convolution = wrap(convolution, dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolution(x.view(-1, 4, 2))


def factors(count: int) -> torch.Tensor:
    """Return factors from 1/5 to 5, in no order."""
    return 5 ** (2 * torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(count)) - 1)


def undone(norm: nn.Module, factor: torch.Tensor) -> None:
    """Give statistics that take out factors of the inputs again."""
    norm.running_mean.mul_(factor)
    norm.running_var.copy_(factor**2 * (norm.running_var + norm.eps) - norm.eps)


def of_columns(model: nn.Module) -> None:
    factor = factors(WIDTH)
    model[0].weight.mul_(factor)
    model[0].bias.mul_(factor)
    undone(model[1], factor)


def of_experts(model: nn.Module) -> None:
    factor = factors(12)
    per_output = factor.view(3, 4)
    columns = getattr(model[0], "is_transposed", False)
    model[0].weight.mul_(per_output[:, None] if columns else per_output[..., None])
    undone(model[1], factor)


def of_positions(model: nn.Module) -> None:
    model[0].pos_embed.mul_(factors(8)[:, None])


def of_waves(model: nn.Module) -> None:
    factor = factors(WIDTH)
    model[0].spectrum.mul_(factor[:, None])
    undone(model[1], factor)


def of_declared(model: nn.Module) -> None:
    factor = factors(WIDTH)
    model[0].kernel.mul_(factor)
    undone(model[1], factor)


def of_adapters(model: nn.Module) -> None:
    model[0].lora_A.mul_(7)
    model[0].lora_B.div_(7)


def of_magnitudes(model: nn.Module) -> None:
    """Factors of the outputs, in the magnitudes, and of the vectors, whose length does not count."""
    layer = model[0].convolution
    names = dict(layer.named_parameters())
    g, v = (names.get(new, names.get(old)) for new, old in (
        ("parametrizations.weight.original0", "weight_g"), ("parametrizations.weight.original1", "weight_v")
    ))  # fmt: skip
    factor = factors(g.numel())
    g.mul_(factor.view(g.shape))
    v.mul_((3 * factor.flip(0)).view(g.shape))
    own = factor.repeat(WIDTH // len(factor))
    layer.bias.mul_(own)
    undone(model[1], own)


def with_norm(layer: nn.Module, width: int = WIDTH, length: int = 1) -> nn.Sequential:
    return nn.Sequential(layer, nn.BatchNorm1d(width), nn.ReLU(), nn.Flatten(), nn.Linear(width * length, 4))


KINDS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], None]]] = {
    "Conv1D": (lambda: with_norm(Conv1D(WIDTH, 8)), of_columns),
    "subclass of Conv1D": (lambda: with_norm(Own(WIDTH, 8)), of_columns),
    "experts in rows": (lambda: with_norm(Experts(columns=False), 12), of_experts),
    "experts in columns": (lambda: with_norm(Experts(columns=True), 12), of_experts),
    "positions": (lambda: nn.Sequential(Positions(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 4)),
                  of_positions),
    "complex": (lambda: with_norm(Wave()), of_waves),
    "declared": (lambda: with_norm(Declared()), of_declared),
    "adapters": (lambda: nn.Sequential(Adapter(), nn.ReLU(), nn.Linear(WIDTH, 4)), of_adapters),
    "weight norm": (lambda: with_norm(Signal(), WIDTH, 3), of_magnitudes),
    "weight norm with groups": (lambda: with_norm(Signal(groups=2), WIDTH, 3), of_magnitudes),
    "old weight norm": (lambda: with_norm(Signal(kind="old"), WIDTH, 3), of_magnitudes),
}  # fmt: skip
BY_SLICES = {"complex", "adapters"}  # whose filters are slices along dimension 0


def made(kind: str) -> nn.Module:
    torch.manual_seed(1)
    model = KINDS[kind][0]()
    model[-1].weight.detach().mul_(5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
    return model.double().eval()


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(24, 8, generator=generator, dtype=torch.float64), torch.arange(24) % 4


def surface(model: nn.Module, **how: object) -> np.ndarray:
    computed = lossgrid.evaluate(
        model, samples(), alpha="-0.6:0.6:4", beta="-0.4:0.4:3", precision="float64", variant="plain", **how
    )
    return computed["train_loss"]


def by_slices(model: nn.Module) -> list[directions.Entries]:
    theta = directions.parameters(model)
    return [directions.normalise(directions.gaussian(theta, seed=0, axis=axis), theta, "filter") for axis in (0, 1)]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_the_surface_is_that_of_the_function(kind: str) -> None:
    model, twin = made(kind), made(kind)
    with torch.no_grad():
        KINDS[kind][1](twin)
        np.testing.assert_allclose(twin(samples()[0]), model(samples()[0]), rtol=1e-8, atol=1e-9)
    found, expected = surface(twin), surface(model)
    assert np.ptp(expected) > 0.05 * expected.mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    plainly = surface(twin, norm="none") / surface(model, norm="none")
    assert np.abs(plainly - 1).max() > 0.02
    if kind not in BY_SLICES:  # slices along dimension 0 would not do
        sliced = surface(twin, directions=by_slices(twin)) / surface(model, directions=by_slices(model))
        assert np.abs(sliced - 1).max() > 1e-3


def lengths(kind: nn.Module, name: str, dims: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lengths of the filters of a direction and of the weights, by loops over the dimensions that number."""
    made_of = directions.Random(seed=1).of_axis(kind, 0)[name]
    weight = dict(kind.named_parameters())[name].detach().to(made_of.dtype)
    own = []
    for tensor in (made_of, weight):
        moved = tensor.permute(*dims, *(i for i in range(tensor.ndim) if i not in dims)).contiguous()
        own.append(np.array([float(f.norm()) for f in moved.reshape(-1, *moved.shape[len(dims) :])]))
    return own[0], own[1]


class Gated(nn.Module):
    """The names and shapes of transformers' experts, hidden 4 and inner 6."""

    def __init__(self, *, columns: bool) -> None:
        super().__init__()
        first, second = ((4, 12), (6, 4)) if columns else ((12, 4), (4, 6))
        self.gate_up_proj = nn.Parameter(torch.randn(2, *first))
        self.down_proj = nn.Parameter(torch.randn(2, *second))


GptOssExperts = type("GptOssExperts", (Gated,), {})
MixtralExperts = type("MixtralExperts", (Gated,), {})


class Held(nn.Module):
    def __init__(self, name: str, *shape: int) -> None:
        super().__init__()
        self.register_parameter(name, nn.Parameter(torch.randn(shape)))


@pytest.mark.parametrize(
    ("model", "name", "dims"),
    [
        (GptOssExperts(columns=True), "gate_up_proj", (0, 2)),
        (GptOssExperts(columns=True), "down_proj", (0, 2)),
        (MixtralExperts(columns=False), "gate_up_proj", (0, 1)),
        (MixtralExperts(columns=False), "down_proj", (0, 1)),
        (type("MoELayer", (Held,), {})("w1", 3, 4, 5), "w1", (0, 1)),
        (type("Qwen3MoeBlock", (Held,), {})("w1", 3, 4, 5), "w1", (0, 1)),
        (Held("expert_weights", 3, 4, 5), "expert_weights", (0, 1)),
        (nn.Sequential(Held("pos_embed", 1, 5, 4)), "0.pos_embed", (0, 1)),
        (Held("cls_token", 1, 1, 4), "cls_token", (0,)),
        (Held("positions", 5, 4), "positions", (0,)),
        (Held("smoemap", 3, 4, 5), "smoemap", (0,)),  # not every "moe" means experts
        (nn.Sequential(nn.ParameterList([torch.randn(1, 5, 4)])), "0.0", (0, 1)),
        (nn.Linear(5, 4), "weight", (0,)),
        (nn.Conv2d(4, 4, 3, groups=4), "weight", (0,)),
        (nn.Conv2d(4, 3, 1), "weight", (0,)),
        (nn.Conv1d(4, 1, 3), "weight", (0,)),  # (1, in, kernel) is one filter, no positions
        (nn.Bilinear(3, 4, 1), "weight", (0,)),
        (nn.ModuleDict({"experts": nn.ModuleList([nn.Conv1d(4, 3, 2)])}), "experts.0.weight", (0,)),
        (nn.GRU(3, 4), "weight_hh_l0", (0,)),
        (nn.LSTM(3, 4, proj_size=2), "weight_hr_l0", (0,)),
        (nn.MultiheadAttention(6, 2), "in_proj_weight", (0,)),
        (nn.Embedding(6, 4), "weight", (0,)),
        (parametrizations.weight_norm(nn.Conv1d(4, 1, 3)), "parametrizations.weight.original1", (0,)),
        (parametrizations.weight_norm(nn.Linear(4, 3)), "parametrizations.weight.original0", (0,)),
        (parametrizations.spectral_norm(nn.Linear(4, 3)), "parametrizations.weight.original", (0,)),
        (parametrizations.weight_norm(nn.ConvTranspose1d(4, 3, 2), dim=1), "parametrizations.weight.original1", (1,)),
        (parametrizations.orthogonal(Conv1D(4, 3)), "parametrizations.weight.original", (1,)),
        (Declared(), "kernel", (1,)),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, nn.Module) else str(part),
)
def test_every_filter_has_the_length_of_that_of_the_weights(model: nn.Module, name: str, dims: tuple[int, ...]) -> None:
    found, expected = lengths(model, name, dims)
    assert len(found) == np.prod([dict(model.named_parameters())[name].shape[i] for i in dims])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_layers_with_slices_have_no_entry() -> None:
    usual = nn.Sequential(
        nn.Linear(3, 4), nn.Conv2d(3, 4, 3), nn.Embedding(4, 3), nn.GRU(3, 4), nn.Bilinear(3, 4, 2), nn.LayerNorm(4),
        nn.MultiheadAttention(4, 2), nn.BatchNorm2d(4),
    )  # fmt: skip
    assert filters_of(usual) == {}


def test_version_1_knows_transposed_convolutions_only() -> None:
    model = nn.Sequential(Conv1D(4, 3), Experts(columns=True), Positions(), nn.ConvTranspose1d(4, 3, 2), Declared())
    assert filters_of(model, version=1) == {"3.weight": Filter((1, 4, 3, 2), (1, 3))}
    assert list(filters_of(model)) == ["0.weight", "1.weight", "2.pos_embed", "3.weight", "4.kernel"]
    theta = directions.parameters(model)
    drawn = directions.gaussian(theta, seed=0, axis=0, version=1)
    by_rows = directions.normalise(drawn, theta, "filter")["0.weight"]
    assert torch.equal(directions.Random(0, version=1).of_axis(model, 0)["0.weight"], by_rows)
    assert not torch.equal(directions.Random(0).of_axis(model, 0)["0.weight"], by_rows)


def test_classes_of_the_same_name_are_not_those_of_transformers() -> None:
    other = Other()
    other.weight = nn.Parameter(torch.randn(3, 4))
    assert filters_of(nn.Sequential(other)) == {}


def test_modules_of_others_can_be_given_their_filters() -> None:
    model = nn.Sequential(Held("qkv", 4, 2, 3))
    model[0].filter_dims = {"qkv": (1, -1)}
    assert filters_of(model) == {"0.qkv": Filter((4, 2, 3), (0,))}
    found, expected = lengths(model, "0.qkv", (1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("given", [3, (0, 5), "rows", None, (0.5,)])
def test_dimensions_that_are_not_there_are_one_line(given: object) -> None:
    model = nn.Sequential(Held("qkv", 4, 2, 3))
    model[0].filter_dims = {"qkv": given}
    with pytest.raises(InputError, match=r"filter_dims of the module with 0.qkv: expected dimensions within 0..2, got"):
        filters_of(model)


def test_transformers_own_conv1d_has_columns() -> None:
    utils = pytest.importorskip("transformers.pytorch_utils", reason="NOT RUN: needs transformers")
    assert filters_of(nn.Sequential(utils.Conv1D(4, 3))) == {"0.weight": Filter((3, 4), (0,))}


def test_complex_transposed_convolutions_move_by_output_channels() -> None:
    class Turned(nn.ConvTranspose1d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return F.conv_transpose1d(x.to(self.weight.dtype), self.weight)

    layer = Turned(4, 3, 2, bias=False, dtype=torch.cfloat)
    found, expected = lengths(layer, "weight", (1,))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
