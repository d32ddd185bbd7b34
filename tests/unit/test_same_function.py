"""The network that is run is the network that moves: at theta*, and wherever the directions lead."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F

import lossgrid
from lossgrid import directions, store
from lossgrid.errors import InputError, RankError
from lossgrid.evaluation import Differs, Evaluator, Measured, Unsuitable
from lossgrid.evaluation.graph import Tracer
from tests.builders import a_batch, a_direction, an_evaluator

SAMPLES = 24


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    return a_batch(SAMPLES, 3, 6, 6, classes=4, seed=5)


class Net(nn.Module):
    """A convolution with a normalisation that can be folded, what a test adds, and a head."""

    def __init__(self, add: Callable[["Net"], None] = lambda net: None) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5)
        self.head = nn.Linear(5 * 16, 4)
        self.extra = nn.Conv2d(5, 5, 1)
        add(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.change(F.relu(self.norm(self.conv(x)))).flatten(1))

    def change(self, x: torch.Tensor) -> torch.Tensor:
        return self.extra(x)


class FrozenNorm(Net):
    """Normalises by buffers alone, as detection networks do."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("scale", "shift", "mean"):
            self.register_buffer(name, torch.randn(5))
        self.register_buffer("running_var", torch.rand(5) + 0.5)

    def change(self, x: torch.Tensor) -> torch.Tensor:
        scale = self.scale * (self.running_var + 1e-5).rsqrt()
        return x * scale[None, :, None, None] + (self.shift - self.mean * scale)[None, :, None, None]


class Listed(Net):
    """Reaches a weight through a plain list."""

    def __init__(self) -> None:
        super().__init__(lambda net: setattr(net, "weights", [net.extra.weight]))

    def change(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, 2.0 * self.weights[0])


class Looking(Net):
    """Looks at a weight on the host."""

    def __init__(self) -> None:
        super().__init__(lambda net: setattr(net, "weights", [net.extra.weight]))

    def change(self, x: torch.Tensor) -> torch.Tensor:
        return self.extra(x) * self.weights[0][0, 0, 0, 0].item()


class LookingAtBuffer(FrozenNorm):
    """Looks at a buffer on the host."""

    def change(self, x: torch.Tensor) -> torch.Tensor:
        return x * float(self.running_var.max())


class Doubled(Net):
    """Computes with a weight by NumPy."""

    def __init__(self) -> None:
        super().__init__(lambda net: setattr(net, "weights", {"extra": net.extra.weight}))

    def change(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, torch.from_numpy(2.0 * self.weights["extra"].detach().numpy()).to(x.dtype))


class Caching(Net):
    """Keeps what it made of its weights the first time."""

    cached: torch.Tensor | None = None

    def change(self, x: torch.Tensor) -> torch.Tensor:
        if self.cached is None:
            self.cached = self.extra.weight.detach() * 2.0
        return F.conv2d(x, self.cached)


class Aliased(Net):
    """Reads a weight in memory of its own, not through the parameter."""

    def __init__(self) -> None:
        super().__init__(lambda net: setattr(net, "weights", [net.extra.weight.data]))

    def change(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.weights[0])


FOLLOWS = [FrozenNorm, Listed, Looking, LookingAtBuffer, Doubled]


def made(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = kind().eval().requires_grad_(False)
    model.norm.running_mean.normal_()  # type: ignore[union-attr, operator]
    model.norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr, operator]
    return model


def reference(start: nn.Module, end: nn.Module, alpha: float) -> float:
    """Return the loss on the line between two networks, in float64, from entries that are set one by one."""
    model = copy.deepcopy(start).double()
    if hasattr(model, "weights"):  # its own parameters, not those of the network it is a copy of
        first = model.extra.weight
        model.weights = {"extra": first} if isinstance(model.weights, dict) else [first]
    there, here = end.state_dict(), start.state_dict()
    with torch.no_grad():
        for name, entry in model.state_dict().items():
            if entry.is_floating_point():
                entry.copy_((1.0 - alpha) * here[name].double() + alpha * there[name].double())
        inputs, targets = samples()
        losses = [F.cross_entropy(model(x[None].double()), y[None]) for x, y in zip(inputs, targets, strict=True)]
    return float(torch.stack(losses).mean())


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["auto", "plain", "compiled"])
@pytest.mark.parametrize("kind", FOLLOWS)
def test_both_ends_of_a_line_are_the_two_networks(kind: type[nn.Module], variant: str) -> None:
    start, end = made(kind), made(kind, seed=1)
    if variant == "compiled" and kind is Doubled:
        pytest.skip("torch.compile does not take NumPy within inference mode everywhere")
    line = lossgrid.evaluate(start, samples(), alpha=(0, 1, 3), to=end, variant=variant)
    expected = [reference(start, end, alpha) for alpha in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(line["train_loss"], expected, rtol=2e-6)


@pytest.mark.parametrize("variant", ["folded", "fused"])
def test_buffers_are_read_at_every_point_by_rewritten_networks(variant: str) -> None:
    start, end = made(FrozenNorm), made(FrozenNorm, seed=1)
    line = lossgrid.evaluate(start, samples(), alpha=(-1, 1, 5), to=end, variant=variant)
    assert line.provenance["recipe"]["variant"] == variant
    np.testing.assert_allclose(line["train_loss"][-1], reference(start, end, 1.0), rtol=2e-6)


@pytest.mark.parametrize("kind", [Listed, Looking, LookingAtBuffer, Doubled])
def test_what_would_be_computed_once_is_not_rewritten(kind: type[nn.Module]) -> None:
    with pytest.raises(Unsuitable, match="cannot follow the network"):
        evaluator(made(kind)).with_variant("folded")


@pytest.mark.parametrize(
    ("kind", "words"), [(Caching, "other outputs than a fresh copy"), (Aliased, r"'weights' shares the memory of")]
)
def test_networks_that_do_not_follow_their_weights_are_refused(kind: type[nn.Module], words: str) -> None:
    with pytest.raises(InputError, match=words):
        lossgrid.evaluate(made(kind), samples(), alpha=(0, 1, 2))


def evaluator(model: nn.Module, end: nn.Module | None = None, precision: str = "float32") -> Evaluator:
    other = made(type(model), seed=1) if end is None else end
    delta = directions.difference(directions.states(model), directions.states(other), source="test")
    return an_evaluator(model, samples(), delta=delta, precision=precision, batch_size=10, channels_last=False)


def test_a_graph_that_is_right_at_theta_alone_is_found_at_a_moved_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the tracer of our own the buffers are computed with once, as torch.fx does by itself."""
    monkeypatch.setattr(Tracer, "proxy_buffer_attributes", False)
    monkeypatch.setattr(
        "lossgrid.evaluation.graph.NothingFrozen.__torch_function__",
        lambda self, f, t, a=(), k=None: f(*a, **(k or {})),
    )
    stale = evaluator(made(FrozenNorm))
    with pytest.raises(Differs, match=r"its outputs differ by .* at \(1, 0\)"):
        stale.with_variant("folded")
    assert stale.network.variant == "plain"
    model = made(FrozenNorm)
    expected = model(samples()[0])
    torch.testing.assert_close(fx.symbolic_trace(model)(samples()[0]), expected)  # right at theta*


def test_far_points_are_where_the_outputs_are_finite() -> None:
    how: dict[str, Any] = {"precision": "float32", "batch_size": 10, "channels_last": False}
    delta = a_direction(made(Net))
    wide = an_evaluator(made(Net), samples(), delta=delta, reach=(1e30, 0.0), **how)
    assert wide.subject.far == (1.0, 0.0)
    wide.with_variant("fused")
    near = an_evaluator(made(Net), samples(), delta=delta, eta=delta, reach=(-0.5, 2.0), **how)
    assert near.subject.far == (-0.5, 2.0)


def test_a_surface_of_another_function_does_not_become_complete(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variant that goes wrong after it was compared is found by the plain network at the end, and named."""
    point = Evaluator.point

    def drifting(self: Evaluator, *args: float, **kwargs: object) -> Measured:
        found = point(self, *args, **kwargs)  # type: ignore[arg-type]
        return found._replace(values=found.values * np.array([1.001] + [1.0] * (len(found.values) - 1)))

    monkeypatch.setattr(Evaluator, "point", drifting)
    out = tmp_path / "s.h5"  # type: ignore[operator]
    with pytest.raises(
        RankError, match=r"train_loss is [\d.]+ in the file and [\d.]+ computed now by the network itself"
    ):
        lossgrid.evaluate(made(Net), samples(), alpha=(-1, 1, 5), out=out)
    surface = store.read(out)
    assert not surface.complete
    assert "train_loss" in surface.provenance["differs"]


def test_networks_that_change_while_they_are_run_are_found() -> None:
    class Counting(Net):
        calls = 0

        def change(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.extra(x) * (1.0 + 1e-3 * max(0, self.calls - 15))  # steady while it is tried

    with pytest.raises(RankError, match="the network changes while it is run"):
        lossgrid.evaluate(made(Counting), samples(), alpha=(-1, 1, 9), variant="plain")


def test_directions_that_move_nothing_are_refused() -> None:
    norm = nn.Sequential(nn.Flatten(), nn.LayerNorm(108))
    with pytest.raises(InputError, match="the direction of alpha moves nothing"):
        lossgrid.evaluate(norm, (samples()[0], torch.arange(SAMPLES) % 4), alpha=(0, 1, 2))
    still = {"head.bias": torch.zeros(4)}
    with pytest.raises(InputError, match="the direction of beta moves nothing"):
        lossgrid.evaluate(
            made(Net), samples(), alpha=(0, 1, 2), beta=(0, 1, 2), directions=[{"head.bias": torch.ones(4)}, still]
        )


@pytest.mark.parametrize("variant", ["folded", "fused"])
def test_a_variance_below_0_gives_no_value_in_any_variant(variant: str) -> None:
    """A fused activation may make 0 of NaN: the loss would be a number where the network has none."""

    def made(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
        with torch.no_grad():
            model[1].running_var.uniform_(0.2, 3.0)  # type: ignore[operator, union-attr]
        return model

    data = a_batch(20, 1, 8, 8, classes=3)
    found, expected = (
        lossgrid.evaluate(made(0), data, to=made(1), alpha=(-2, 3, 11), variant=one)["train_loss"]
        for one in (variant, "plain")
    )
    assert 0 < int(torch.tensor(expected).isnan().sum()) < 11
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-5, atol=0, equal_nan=True)
