"""What is measured beside the loss: against slow loops over samples, and through a whole run."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lossgrid
from lossgrid import plot
from lossgrid.errors import InputError
from lossgrid.measures import make_metric, make_objective, measures_of, users_metric
from lossgrid.measures.classes import Calibration, error, top
from lossgrid.measures.measure import Measure
from lossgrid.surface import Quantity
from tests.builders import a_perceptron

CPU = torch.device("cpu")


def outputs_and_targets(count: int = 97, classes: int = 7, *more: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    outputs = 3 * torch.randn(count, classes, *more, generator=generator, dtype=torch.float64)
    return outputs, torch.randint(0, classes, (count, *more), generator=generator)


def measured(measure: Measure, outputs: torch.Tensor, targets: torch.Tensor, batch: int = 10) -> float:
    """Measure batch by batch."""
    state = measure.start(CPU)
    for start in range(0, len(outputs), batch):
        measure.add(state, outputs[start : start + batch], targets[start : start + batch])
    (value,) = measure.values(state)[0].tolist()
    return float(value)


def fraction(outputs: torch.Tensor, targets: torch.Tensor, count: int) -> float:
    """Count sample by sample how often the class is among the ``count`` best."""
    hits = 0
    for scores, target in zip(outputs.tolist(), targets.tolist(), strict=True):
        best = sorted(range(len(scores)), key=lambda i: -scores[i])[:count]
        hits += target in best
    return hits / len(targets)


def calibration(outputs: torch.Tensor, targets: torch.Tensor, bins: int) -> float:
    """Compute the expected calibration error as its paper has it, sample by sample."""
    found: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for scores, target in zip(outputs.tolist(), targets.tolist(), strict=True):
        largest = max(scores)
        total = math.fsum(math.exp(score - largest) for score in scores)
        confidence = 1 / total
        place = next(m for m in range(bins) if m / bins < confidence <= (m + 1) / bins)
        found[place].append((confidence, scores.index(largest) == target))
    return math.fsum(
        abs(math.fsum(right for _, right in one) - math.fsum(sure for sure, _ in one)) for one in found
    ) / len(targets)


@pytest.mark.parametrize("batch", [1, 10, 97])
def test_fractions_are_those_of_a_slow_loop(batch: int) -> None:
    outputs, targets = outputs_and_targets()
    _, accuracy = measures_of(make_objective("cross_entropy", classification=True))
    assert measured(accuracy, outputs, targets, batch) == pytest.approx(fraction(outputs, targets, 1), abs=1e-15)
    assert measured(error(), outputs, targets, batch) == pytest.approx(1 - fraction(outputs, targets, 1), abs=1e-15)
    for count in (1, 2, 5, 7, 100):
        found = measured(top(count), outputs, targets, batch)
        assert found == pytest.approx(fraction(outputs, targets, min(count, 7)), abs=1e-15)


@pytest.mark.parametrize("batch", [1, 10, 97])
@pytest.mark.parametrize("bins", [1, 4, 15])
def test_the_calibration_error_is_that_of_a_slow_loop(bins: int, batch: int) -> None:
    outputs, targets = outputs_and_targets()
    found = measured(Calibration(bins), outputs, targets, batch)
    assert found == pytest.approx(calibration(outputs, targets, bins), rel=1e-12)


def test_a_network_that_is_always_sure_and_right_is_calibrated() -> None:
    targets = torch.arange(6) % 3
    sure = 1e3 * nn.functional.one_hot(targets, 3).double()
    assert measured(Calibration(), sure, targets) == 0.0
    assert measured(Calibration(), sure, (targets + 1) % 3) == 1.0


@pytest.mark.parametrize("name", ["top2", "error", "ece"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_where_an_output_is_not_finite_there_is_no_value(name: str, bad: float) -> None:
    outputs, targets = outputs_and_targets()
    outputs[3, 2] = bad
    assert math.isnan(measured(make_metric(name).measure, outputs, targets))


def test_sequences_count_by_their_targets() -> None:
    outputs, targets = outputs_and_targets(20, 5, 4)
    flat = outputs.movedim(1, -1).reshape(-1, 5), targets.reshape(-1)
    assert measured(top(2), outputs, targets) == pytest.approx(fraction(*flat, 2))
    assert measured(Calibration(), outputs, targets) == pytest.approx(calibration(*flat, 15), rel=1e-12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("top", "did you mean top5"),
        ("top0", "--metric"),
        ("eec", "did you mean ece"),
        ("acc", "expected error, ece"),
        ("a-b=users:net", "letters, digits and _"),
        ("accuracy=users:net", "is a name of lossgrid's own"),
        ("top3=users:net", "is a name of lossgrid's own"),
        ("loss_error=users:net", "is a name of lossgrid's own"),
        ("mine=os:getcwd", "standard library"),
        ("mine=nowhere:f", "nowhere"),
    ],
)
def test_names_that_are_none_are_refused(text: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend("tests/programs")
    with pytest.raises(InputError, match=words) as caught:
        make_metric(text)
    assert "\n" not in str(caught.value)


# through a run


def network() -> nn.Module:
    return a_perceptron(12, 8, 5).double()


def samples(count: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 12, generator=generator, dtype=torch.float64), torch.arange(count) % 5


def margin(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return how far the right score is above the best wrong one, for each sample."""
    right = outputs.gather(1, targets[:, None])[:, 0]
    wrong = outputs.scatter(1, targets[:, None], -torch.inf).amax(dim=1)
    return right - wrong


margin.better = "higher"  # type: ignore[attr-defined]
margin.units = "logits"  # type: ignore[attr-defined]


class Largest:
    """What torchmetrics' objects are: the largest output there is."""

    higher_is_better = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.largest = -math.inf

    def update(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        assert len(outputs) == len(targets)
        self.largest = max(self.largest, float(outputs.max()))

    def compute(self) -> torch.Tensor:
        return torch.tensor(self.largest)


def evaluate(**options: Any) -> lossgrid.Surface:
    data = options.pop("data", samples())
    return lossgrid.evaluate(network(), data, alpha=(-1, 1, 5), precision="float64", **options)


def at(surface: lossgrid.Surface, delta: dict[str, torch.Tensor], column: int) -> torch.Tensor:
    """Return the outputs at a point, by a network moved by hand."""
    model = network()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in delta:
                parameter += float(surface.alpha[column]) * delta[name]
        return model(samples()[0])


def test_every_kind_is_measured_at_every_point() -> None:
    delta = {name: torch.randn_like(p) for name, p in network().named_parameters() if p.ndim > 1}
    surface = evaluate(directions=[delta], batch_size=7, metrics={"margin": margin, "largest": Largest, "top2": "top2"})
    assert list(surface.quantities) == [
        "train_loss", "train_accuracy", "train_margin", "train_largest", "train_top2",
    ]  # fmt: skip
    assert surface.quantities["train_margin"] == Quantity(
        "train_margin", "train", "margin", "logits", "higher", (None, None), "by differences"
    )
    assert surface.quantities["train_largest"].better == "higher"
    for column in range(5):
        outputs, targets = at(surface, delta, column), samples()[1]
        assert surface["train_margin"][column] == pytest.approx(float(margin(outputs, targets).mean()), rel=1e-9)
        assert surface["train_largest"][column] == pytest.approx(float(outputs.max()), rel=1e-6)
        assert surface["train_top2"][column] == pytest.approx(fraction(outputs, targets, 2))
    assert {axes.get_ylabel() for axes in plot.draw(surface).axes} >= {"train margin (logits)", "train top2"}


def squares(outputs: torch.Tensor, targets: torch.Tensor, model: nn.Module) -> torch.Tensor:
    """Return the sum of the squared weights, for each sample the same."""
    total = torch.stack([parameter.square().sum() for parameter in model.parameters()]).sum()
    return total.expand(len(outputs))


def test_a_metric_gets_the_network_that_moves() -> None:
    delta = {name: torch.ones_like(p) for name, p in network().named_parameters() if p.ndim > 1}
    surface = evaluate(directions=[delta], metrics={"squares": squares})
    for column, alpha in enumerate(surface.alpha):
        moved = [p.detach() + alpha * delta.get(name, 0) for name, p in network().named_parameters()]
        expected = math.fsum(float(x) ** 2 for tensor in moved for x in tensor.flatten())
        assert surface["train_squares"][column] == pytest.approx(expected, rel=1e-12)


def test_a_metric_that_reads_the_network_at_theta_is_refused() -> None:
    model = network()
    weight = model[0].weight  # type: ignore[union-attr]

    class Held:
        def __init__(self) -> None:
            self.model = model

        def reset(self) -> None:
            """Forget nothing."""

        def update(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
            """Look at nothing."""

        def compute(self) -> float:
            return float(self.model[1].weight.sum())  # type: ignore[index]

    for metric in (lambda outputs, targets: weight.sum().expand(len(outputs)), Held()):
        with pytest.raises(
            InputError, match=r"metric .* reads .*network in .*stays at theta\*; give the metric a parameter"
        ):
            lossgrid.evaluate(model, samples(), alpha=(-1, 1, 3), precision="float64", metrics={"mine": metric})


def test_what_is_measured_too_changes_nothing_else() -> None:
    alone, more = evaluate(), evaluate(metrics=["top2", "ece", "error"])
    for name in alone.quantities:
        np.testing.assert_array_equal(alone[name], more[name])
    np.testing.assert_allclose(more["train_error"], 1 - alone["train_accuracy"], atol=1e-15)


def test_a_run_with_other_metrics_is_another_run(tmp_path: Path) -> None:
    evaluate(metrics=["top2"], out=tmp_path / "s.h5")
    assert evaluate(metrics=["top2"], out=tmp_path / "s.h5").complete
    with pytest.raises(InputError, match=r"metric is .*top2.* there and .*ece.* now"):
        evaluate(metrics=["ece"], out=tmp_path / "s.h5")


def other(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return margin(outputs, targets) + 1.0


def test_an_edited_metric_is_refused_by_its_values(tmp_path: Path) -> None:
    first: Callable[..., Any] = lambda outputs, targets: margin(outputs, targets)  # noqa: E731
    evaluate(metrics={"mine": first}, out=tmp_path / "s.h5")
    second: Callable[..., Any] = lambda outputs, targets: other(outputs, targets)  # noqa: E731
    with pytest.raises(InputError, match=r"holds values of another function: at .* train_mine is"):
        evaluate(metrics={"mine": second}, out=tmp_path / "s.h5")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metrics": ["top2"], "data": (samples()[0], torch.rand(50, 5).double()), "loss": "mse"}, "is of classes"),
        ({"metrics": {"mine": 3}}, "expected a function, or an object with update"),
        ({"metrics": {"mine": lambda outputs, targets: outputs}}, "metric mine: expected a tensor with the mean"),
        ({"metrics": {"mine": lambda outputs, targets: outputs.max()}}, "metric mine: that of a batch"),
        ({"metrics": {"mine": lambda outputs, targets: 1 / 0}}, "metric mine raised ZeroDivisionError"),
        ({"metrics": ["top2", "top2"]}, "metric needs different names"),
        ({"metrics": "eec"}, "did you mean ece"),
    ],
)
def test_metrics_that_cannot_be_are_refused_before_any_work(options: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        evaluate(out=tmp_path / "s.h5", **options)
    assert not (tmp_path / "s.h5").exists()


def test_meanings_that_are_none_are_refused() -> None:
    def bent(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return outputs[:, 0]

    bent.better = "sideways"  # type: ignore[attr-defined]
    measure = users_metric("bent", bent, "bent").measure
    with pytest.raises(InputError, match="metric bent: quantity train_bent has better 'sideways'"):
        measure.quantities("train")
