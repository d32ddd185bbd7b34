"""Steps of users: their values against slow loops, the bits of the built-in loss, variants, refusals."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lossgrid
from lossgrid.errors import InputError
from tests.builders import a_batch, a_direction, a_network, a_perceptron

DATA = a_batch(61, 2, 5, 5, classes=4)
WEIGHTS = torch.tensor([1.0, 10.0, 0.1, 3.0])


@pytest.fixture(autouse=True)
def small_layers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fuse also layers that are too small for it to pay: the tests' are."""
    monkeypatch.setattr("lossgrid.evaluation.libraries.LEAST_WEIGHTS", 0)


def network() -> nn.Module:
    return a_network(side=5, activation=nn.ReLU, statistics=True)


def evaluate(step: Any = None, data: Any = DATA, model: nn.Module | None = None, **options: Any) -> lossgrid.Surface:
    model = network() if model is None else model
    given = {"alpha": (-1, 1, 3), "batch_size": 16, "directions": [a_direction(model)], **options}
    return lossgrid.evaluate(model, data, step=step, **given)


def moved(model: nn.Module, alpha: float) -> nn.Module:
    """Return the network at a point in float64, its parameters set one by one."""
    there = copy.deepcopy(model).double().eval()
    direction = a_direction(model)
    with torch.no_grad():
        for name, entry in there.named_parameters():
            if name in direction:
                entry += alpha * direction[name].double()
    return there.requires_grad_(False)


def cross_entropy(model: Any, batch: Any) -> dict[str, Any]:
    return {"loss": F.cross_entropy(model(batch[0]), batch[1], reduction="none")}


@pytest.mark.parametrize("variant", ["plain", "folded", "fused"])
def test_the_built_in_cross_entropy_as_a_step_has_the_same_bits(variant: str) -> None:
    expected, found = evaluate(variant=variant), evaluate(cross_entropy, variant=variant)
    assert found["train_loss"].tobytes() == expected["train_loss"].tobytes()
    assert found.errors["train_loss"].tobytes() == expected.errors["train_loss"].tobytes()
    assert found.origin.recipe.variant == variant


def everything(model: Any, batch: Any) -> dict[str, Any]:
    x, y = batch
    scores = model(x)
    losses = F.cross_entropy(scores, y, reduction="none")
    weights = WEIGHTS.to(losses.dtype)[y]
    return {
        "loss": losses + 0.1 * sum(p.square().sum() for p in model.parameters()),
        "weighted": ((losses * weights).sum(), weights.sum()),
        "squares": scores.square().mean(),
        "accuracy": scores.argmax(dim=1) == y,
        "largest": scores.detach().amax(dim=1).numpy(),
    }


everything.units = {"loss": "nats", "squares": "1"}  # type: ignore[attr-defined]
everything.better = {"largest": "higher"}  # type: ignore[attr-defined]
everything.varies = {"largest": "by differences"}  # type: ignore[attr-defined]


def expected_values(alpha: float) -> dict[str, float]:
    """Return the values of ``everything``, sample by sample."""
    model = moved(network(), alpha)
    rows = [model(x[None].double())[0] for x in DATA[0]]
    losses = [float(F.cross_entropy(row, y)) for row, y in zip(rows, DATA[1], strict=True)]
    weights = WEIGHTS.double()[DATA[1]].tolist()
    decay = sum(float((p**2).sum()) for p in model.parameters())
    return {
        "loss": float(np.mean(losses)) + 0.1 * decay,
        "weighted": float(np.dot(losses, weights) / np.sum(weights)),
        "squares": float(np.mean([float((row**2).mean()) for row in rows])),
        "accuracy": float(np.mean([int(row.argmax()) == int(y) for row, y in zip(rows, DATA[1], strict=True)])),
        "largest": float(np.mean([float(row.max()) for row in rows])),
    }


@pytest.mark.parametrize("batch_size", [61, 16, 7])
@pytest.mark.parametrize("variant", ["plain", "folded"])
def test_all_kinds_of_values(batch_size: int, variant: str) -> None:
    surface = evaluate(everything, batch_size=batch_size, variant=variant, precision="float64")
    for i, alpha in enumerate(surface.alpha):
        for name, value in expected_values(float(alpha)).items():
            assert surface[f"train_{name}"][i] == pytest.approx(value, rel=1e-7), name  # samples are of float32


def test_values_are_described_by_attributes() -> None:
    surface = evaluate(everything)
    quantities = surface.quantities
    assert quantities["train_loss"].units == "nats"
    assert (quantities["train_accuracy"].better, quantities["train_accuracy"].bounds) == ("higher", (0.0, 1.0))
    assert (quantities["train_largest"].better, quantities["train_largest"].varies) == ("higher", "by differences")
    assert (quantities["train_weighted"].better, quantities["train_weighted"].varies) == ("lower", "by factors")
    assert np.isfinite(surface.errors["train_accuracy"]).all()
    assert np.isnan(surface.errors["train_weighted"]).all()


def test_batches_are_in_the_form_of_the_samples() -> None:
    x, y = DATA
    for data, taken in (
        ({"pixels": x, "labels": y}, lambda batch: (batch["pixels"], batch["labels"])),
        ({"pixels": x, "truth": y}, lambda batch: (batch["pixels"], batch["truth"])),
    ):

        def step(model: Any, batch: Any, taken: Callable[[Any], Any] = taken) -> dict[str, Any]:
            pixels, labels = taken(batch)
            return {"loss": F.cross_entropy(model(pixels), labels, reduction="none")}

        np.testing.assert_array_equal(evaluate(step, data)["train_loss"], evaluate()["train_loss"])


def test_several_splits() -> None:
    x, y = DATA
    data = {"train": DATA, "test": (x[:20], y[:20])}
    expected, found = evaluate(data=data), evaluate(cross_entropy, data)
    assert set(found.quantities) == {"train_loss", "test_loss"}
    for name in found.quantities:
        np.testing.assert_array_equal(found[name], expected[name])


class Parts(nn.Module):
    """A network of two parts, which a step may call by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = network()[:-1], network()[-1]

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return scale * self.head(self.body(x))


def by_parts(model: Any, batch: Any) -> dict[str, Any]:
    return {"loss": F.cross_entropy(model.head(model.body(batch[0])), batch[1], reduction="none")}


def by_number(model: Any, batch: Any) -> dict[str, Any]:
    return {"loss": F.cross_entropy(model(batch[0], 1.0), batch[1], reduction="none")}


def in_two_ways(model: Any, batch: Any) -> dict[str, Any]:
    x, y = batch
    return {"loss": F.cross_entropy((model(x) + model(x=x)) / 2, y, reduction="none")}


def by_name(model: Any, batch: Any) -> dict[str, Any]:
    return {"loss": F.cross_entropy(model(x=batch[0]), batch[1], reduction="none")}


def decayed(model: Any, batch: Any) -> dict[str, Any]:
    (loss,) = cross_entropy(model, batch).values()
    return {"loss": loss + model.head.weight.square().sum() + model.body[0].weight.square().sum()}


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (by_parts, "the step does not call the network itself, but its parts"),
        (by_number, "the step gives the network arguments that are no tensors"),
        (in_two_ways, "the step calls the network in several ways"),
    ],
)
def test_steps_that_no_variant_can_serve_keep_the_network_plain(
    step: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        surface = evaluate(step, model=Parts().eval(), variant="auto")
    assert surface.origin.recipe.variant == "plain"
    assert why in caplog.text
    np.testing.assert_allclose(surface["train_loss"], evaluate(model=Parts().eval())["train_loss"], rtol=1e-5)
    with pytest.raises(InputError, match=why):
        evaluate(step, model=Parts().eval(), variant="folded")


@pytest.mark.parametrize("step", [by_name, decayed])
@pytest.mark.parametrize("variant", ["folded", "fused"])
def test_variants_serve_calls_by_name_and_leave_attributes_to_the_network(step: Any, variant: str) -> None:
    plain, found = (evaluate(step, model=Parts().eval(), variant=kind) for kind in ("plain", variant))
    assert found.origin.recipe.variant == variant
    np.testing.assert_allclose(found["train_loss"], plain["train_loss"], rtol=1e-5)


def test_a_step_that_a_variant_breaks_keeps_the_network_plain(caplog: pytest.LogCaptureFixture) -> None:
    def looks(model: Any, batch: Any) -> dict[str, Any]:
        assert isinstance(model, nn.Sequential)
        assert len(model) == 5
        return cross_entropy(model, batch)

    with caplog.at_level("INFO"):
        surface = evaluate(looks)
    np.testing.assert_allclose(surface["train_loss"], evaluate()["train_loss"], rtol=1e-5)
    assert "the step takes no other network" in caplog.text


def test_returns_of_episodes_with_fixed_seeds() -> None:
    policy = a_perceptron(3, 6, 1, activation=nn.Tanh).requires_grad_(False)
    seeds = torch.arange(12)[:, None]

    def episode(model: Any, seed: int) -> float:
        chance = torch.Generator().manual_seed(seed)
        state, total = torch.randn(3, generator=chance), 0.0
        for _ in range(5):
            state = state + 0.1 * torch.randn(3, generator=chance) + 0.1 * float(model(state[None]))
            total -= float(state.square().sum())
        return total

    def step(model: Any, batch: Any) -> dict[str, Any]:
        returns = np.array([episode(model, int(seed)) for seed in batch[:, 0]])
        return {"loss": -returns, "reward": returns}

    step.better = {"reward": "higher"}  # type: ignore[attr-defined]
    surface = evaluate(step, seeds, policy, batch_size=5)
    own = [episode(copy.deepcopy(policy), seed) for seed in range(12)]
    assert surface["train_reward"][1] == pytest.approx(np.mean(own), rel=1e-5)
    assert surface.errors["train_reward"][1] == pytest.approx(np.std(own, ddof=1) / np.sqrt(12), rel=1e-5)


def contrastive(model: Any, batch: Any) -> dict[str, Any]:
    """Tell each sample from the others of its batch."""
    own = F.normalize(model(batch[0]), dim=1)
    return {"loss": F.cross_entropy(own @ own.T / 0.1, torch.arange(len(own)), reduction="none")}


def test_contrastive_steps_need_a_batch_size(tmp_path: Any) -> None:
    with pytest.raises(InputError, match="a value of a sample depends on its batch, as that of a contrastive loss"):
        evaluate(contrastive, batch_size="auto")
    surface = evaluate(contrastive, batch_size=20, precision="float64", out=tmp_path / "s.h5")
    model, total = moved(network(), 1.0), 0.0
    for start in range(0, 61, 20):
        own = F.normalize(model(DATA[0][start : start + 20].double()), dim=1)
        for i, row in enumerate(own):
            total += float(torch.logsumexp(own @ row / 0.1, dim=0) - own[i] @ row / 0.1)
    assert surface["train_loss"][2] == pytest.approx(total / 61, rel=1e-7)
    with pytest.raises(InputError, match="batch-size is 20 there and 10 now"):
        evaluate(contrastive, batch_size=10, precision="float64", out=tmp_path / "s.h5")


def test_a_changed_step_is_refused_on_resume(tmp_path: Any) -> None:
    out = tmp_path / "s.h5"
    evaluate(lambda model, batch: cross_entropy(model, batch), out=out)
    with pytest.raises(InputError, match="holds values of another function"):
        evaluate(lambda model, batch: {"loss": 2 * cross_entropy(model, batch)["loss"]}, out=out)
    with pytest.raises(InputError, match="loss is step there and cross_entropy now"):
        evaluate(out=out)


def test_a_step_over_the_users_network_is_refused() -> None:
    model = network()

    def step(_: Any, batch: Any) -> dict[str, Any]:
        return cross_entropy(model, batch)

    with pytest.raises(InputError, match=r"reads the network in the variable 'model'.*use its argument 'model'"):
        evaluate(step, model=model)


def with_values(**values: Any) -> Callable[..., Any]:
    def step(model: Any, batch: Any) -> dict[str, Any]:
        scores = model(batch[0])
        return {name: make(scores, batch[1]) if callable(make) else make for name, make in values.items()}

    return step


def per_sample(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(scores, targets, reduction="none")


def described(attribute: str, value: Any) -> Callable[..., Any]:
    step = with_values(loss=per_sample, other=per_sample)
    setattr(step, attribute, value)
    return step


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda model, batch: model(batch[0]).sum(), "expected a dict of values by name, such as"),
        (with_values(los=per_sample), "expected 'loss' among the names of its values, got los"),
        (with_values(), "expected 'loss' among the names of its values, got none"),
        (lambda model, batch: cross_entropy(model, batch) | {3: torch.ones(())}, "expected names of letters"),
        (with_values(loss=per_sample, loss_error=per_sample), "without _error at the end"),
        (with_values(loss=lambda s, t: s), r"'loss': expected a tensor with the mean of the batch"),
        (with_values(loss=per_sample, other="text"), r"'other': expected .* got str"),
        (with_values(loss=lambda s, t: s.sum() * 1j), "got complex numbers"),
        (with_values(loss=lambda s, t: (s.sum(), -1.0)), "a weight of at least 0"),
        (with_values(loss=lambda s, t: F.cross_entropy(s, t, weight=WEIGHTS)), "it is no mean over samples"),
        (with_values(loss=lambda s, t: per_sample(s, t).sum()), "it is no mean over samples"),
        (with_values(loss=per_sample, x=lambda s, t: per_sample(s, t).sum()), "x: that of a batch .* no mean over"),
        (with_values(loss=per_sample, accuracy=lambda s, t: 100.0 * (s.argmax(1) == t)), "expected accuracy from 0"),
        (with_values(loss=lambda s, t: 1 / 0), "raised ZeroDivisionError"),
        (described("better", "higher"), "expected a dict by name as attribute 'better'"),
        (described("units", {"othr": "m"}), "describes 'othr', which it does not return; did you mean other"),
        (described("better", {"loss": "higher"}), "cannot describe 'loss'"),
        (described("better", {"other": "up"}), "better 'up'; expected lower or higher"),
        ("lossgrid_has_none:f", "importing lossgrid_has_none raised"),
        (3, "expected a function step.model, batch., got int"),
    ],
)
def test_refusals(step: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        evaluate(step)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "mse"}, "step returns all values itself, so leave loss out, or step"),
        ({"loss_args": {"label_smoothing": 0.1}}, "leave loss_args out"),
        ({"metrics": ["top2"]}, "leave metric"),
    ],
)
def test_a_step_stands_alone(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        evaluate(cross_entropy, **options)


def test_random_steps_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    step = with_values(loss=lambda s, t: per_sample(s, t) + torch.rand(len(t)))
    evaluate(step, batch_size=16)
    assert "step with_values.<locals>.step other values for the same inputs" in caplog.text
