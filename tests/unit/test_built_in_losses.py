"""The losses with a name and their arguments: against slow loops, and torch's own mean over the whole data at once."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lossgrid
from lossgrid.cli.comparison import compare_files
from lossgrid.cli.options import settings_of
from lossgrid.errors import InputError
from lossgrid.evaluation import choose_device
from lossgrid.measures import LOSSES, Measure, Objective, make_metric, make_objective, measures_of
from lossgrid.settings import RunConfig, TrainConfig
from lossgrid.settings.option import option_of
from lossgrid.training import train
from lossgrid.training.learner import Learner
from tests.builders import an_evaluator

COUNT, CLASSES, LENGTH, VOID = 23, 4, 5, 255
WEIGHT = [0.5, 2.0, 1.0, 0.0]
BATCHES = [1, 7, COUNT]
ARGUMENTS = [
    {"label_smoothing": 0.3},
    {"ignore_index": 2},
    {"ignore_index": VOID},
    {"weight": WEIGHT},
    {"weight": WEIGHT, "ignore_index": VOID},
    {"weight": WEIGHT, "ignore_index": 1, "label_smoothing": 0.2},
]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(*shape: int, void: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    found = torch.randint(0, CLASSES, shape, generator=generator)
    return found.masked_fill(torch.rand(shape, generator=generator) < 0.3, VOID) if void else found


def measured(measure: Measure, outputs: torch.Tensor, targets: torch.Tensor, batch: int) -> tuple[float, float]:
    """Return value and standard error, measured batch by batch."""
    state = measure.start(torch.device("cpu"))
    for start in range(0, len(outputs), batch):
        measure.add(state, outputs[start : start + batch], targets[start : start + batch])
    (value,), (error,) = (part.tolist() for part in measure.values(state))
    return float(value), float(error)


def of(loss: str, targets: torch.Tensor, **arguments: Any) -> Objective:
    return make_objective(loss, classification=not targets.is_floating_point(), arguments=arguments)


def loss_of(objective: Objective, outputs: torch.Tensor, targets: torch.Tensor, batch: int) -> tuple[float, float]:
    return measured(measures_of(objective)[0], outputs, targets, batch)


def accuracy_of(objective: Objective, outputs: torch.Tensor, targets: torch.Tensor, batch: int) -> tuple[float, float]:
    return measured(measures_of(objective)[1], outputs, targets, batch)


def by_target(scores: list[float], target: int, arguments: dict[str, Any]) -> tuple[float, float]:
    """Return loss and weight of one target, number by number."""
    if target == arguments.get("ignore_index"):
        return 0.0, 0.0
    weight, smoothing = arguments.get("weight", [1.0] * len(scores)), arguments.get("label_smoothing", 0.0)
    largest = max(scores)
    total = largest + math.log(math.fsum(math.exp(score - largest) for score in scores))
    surprise = [total - score for score in scores]
    even = math.fsum(w * s for w, s in zip(weight, surprise, strict=True)) / len(scores)
    return (1 - smoothing) * weight[target] * surprise[target] + smoothing * even, weight[target]


def by_sample(outputs: torch.Tensor, targets: torch.Tensor, arguments: dict[str, Any]) -> list[tuple[float, float]]:
    """Return the sums of losses and of weights of each sample; classes are in dimension 1."""
    found = []
    for scores, target in zip(outputs, targets, strict=True):
        rows = scores.reshape(len(scores), -1).T.tolist()
        own = [by_target(row, int(y), arguments) for row, y in zip(rows, target.reshape(-1).tolist(), strict=True)]
        found.append((math.fsum(loss for loss, _ in own), math.fsum(weight for _, weight in own)))
    return found


def ratio(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """Return a ratio of sums and its standard error, by the definition of the delta method."""
    total, weight = (math.fsum(part) for part in zip(*pairs, strict=True))
    value, n = total / weight, len(pairs)
    spread = math.fsum((t - value * w) ** 2 for t, w in pairs)
    return value, math.sqrt(spread * n / (n - 1)) / weight


def in_torch(outputs: torch.Tensor, targets: torch.Tensor, arguments: dict[str, Any]) -> float:
    """Return the mean of torch over all data at once; it has no other reduction to compare with."""
    options = {name: value for name, value in arguments.items() if name not in ("weight", "class_dim", "soft")}
    if "weight" in arguments:
        options["weight"] = torch.tensor(arguments["weight"], dtype=outputs.dtype)
    return float(F.cross_entropy(outputs, targets, **options))


SHAPES = {"classes": (), "sequences": (LENGTH,), "pictures": (3, 2)}


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
@pytest.mark.parametrize("kind", list(SHAPES))
def test_cross_entropy_is_the_mean_of_torch_over_the_whole_data(
    kind: str, arguments: dict[str, Any], batch: int
) -> None:
    more = SHAPES[kind]
    targets = classes(COUNT, *more, void=arguments.get("ignore_index") == VOID)
    outputs = drawn(COUNT, CLASSES, *more)
    value, error = loss_of(of("cross_entropy", targets, **arguments), outputs, targets, batch)
    assert value == pytest.approx(in_torch(outputs, targets, arguments), rel=1e-13)
    expected = ratio(by_sample(outputs, targets, arguments))
    assert value == pytest.approx(expected[0], rel=1e-13)
    assert error == pytest.approx(expected[1], rel=1e-9)
    last = of("cross_entropy", targets, class_dim=-1, **arguments)
    assert loss_of(last, outputs.movedim(1, -1), targets, batch) == pytest.approx((value, error), rel=1e-13)


def test_without_arguments_values_have_the_bits_of_the_plain_mean() -> None:
    outputs, targets = drawn(COUNT, CLASSES, LENGTH).float(), classes(COUNT, LENGTH)
    plain = F.cross_entropy(outputs, targets, reduction="none").mean(dim=1, dtype=torch.float64)
    objective = of("cross_entropy", targets)
    assert torch.equal(objective.terms(outputs, targets)[0], plain)
    state = measures_of(objective)[0].start(torch.device("cpu"))
    measures_of(objective)[0].add(state, outputs, targets)
    assert state.tolist() == [plain.sum().item(), COUNT, plain.dot(plain).item()]
    assert (objective.units, objective.by_weight) == ("nats per sample", False)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kind", list(SHAPES))
@pytest.mark.parametrize("void", [VOID, 1])
def test_accuracy_counts_the_targets_that_count(void: int, kind: str, batch: int) -> None:
    more = SHAPES[kind]
    targets, outputs = classes(COUNT, *more, void=void == VOID), drawn(COUNT, CLASSES, *more)
    best = outputs.argmax(dim=1)
    pairs = [
        (float(((b == y) & (y != void)).sum()), float((y != void).sum())) for b, y in zip(best, targets, strict=True)
    ]
    objective = of("cross_entropy", targets, ignore_index=void)
    found = accuracy_of(objective, outputs, targets, batch)
    assert found[0] == pytest.approx(float((best == targets)[targets != void].double().mean()), rel=1e-14)
    assert found == pytest.approx(ratio(pairs), rel=1e-9)
    last = of("cross_entropy", targets, ignore_index=void, class_dim=-1)
    assert accuracy_of(last, outputs.movedim(1, -1), targets, batch) == pytest.approx(found, rel=1e-14)
    sums = objective.sums(outputs, targets).tolist()
    assert sums[1] == [sum(t for t, _ in pairs), sum(w for _, w in pairs)]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", ["top2", "error", "ece"])
def test_metrics_of_classes_are_of_the_targets_that_count(name: str, batch: int) -> None:
    targets, outputs = classes(COUNT, LENGTH, void=True), drawn(COUNT, CLASSES, LENGTH)
    metric = make_metric(name).measure
    rows, flat = outputs.movedim(1, -1)[targets != VOID], targets[targets != VOID]
    expected = measured(metric, rows, flat, len(flat))[0]
    for objective, given in (
        (of("cross_entropy", targets, ignore_index=VOID), outputs),
        (of("cross_entropy", targets, ignore_index=VOID, class_dim=-1), outputs.movedim(1, -1)),
    ):
        value, error = measured(measures_of(objective, [metric])[-1], given, targets, batch)
        assert value == pytest.approx(expected, rel=1e-13)
        assert math.isnan(error)
    whole = classes(COUNT, LENGTH)
    last = measures_of(of("cross_entropy", whole, class_dim=-1), [metric])[-1]
    assert measured(last, outputs.movedim(1, -1), whole, batch)[0] == pytest.approx(
        measured(metric, outputs, whole, batch)[0], rel=1e-14
    )


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kind", list(SHAPES))
@pytest.mark.parametrize("arguments", [{}, {"label_smoothing": 0.3}, {"weight": WEIGHT}], ids=str)
def test_soft_targets_are_those_of_torch(kind: str, arguments: dict[str, Any], batch: int) -> None:
    outputs = drawn(COUNT, CLASSES, *SHAPES[kind])
    targets = drawn(COUNT, CLASSES, *SHAPES[kind], seed=1).softmax(dim=1)
    objective = of("cross_entropy", targets, soft=True, **arguments)
    objective.check(outputs, targets, targets)  # type: ignore[misc]
    value, error = loss_of(objective, outputs, targets, batch)
    assert value == pytest.approx(in_torch(outputs, targets, arguments), rel=1e-13)
    slow = []
    smoothing, weight = arguments.get("label_smoothing", 0.0), arguments.get("weight", [1.0] * CLASSES)
    for scores, truth in zip(outputs, targets, strict=True):
        log = scores - scores.exp().sum(dim=0).log()
        smooth = (1 - smoothing) * truth + smoothing / CLASSES
        each = sum(-w * p * q for w, p, q in zip(weight, smooth, log, strict=True))
        slow.append(float(torch.as_tensor(each).mean()))
    assert value == pytest.approx(statistics.fmean(slow), rel=1e-13)
    assert error == pytest.approx(statistics.stdev(slow) / math.sqrt(COUNT), rel=1e-9)
    last = of("cross_entropy", targets, soft=True, class_dim=-1, **arguments)
    moved = loss_of(last, outputs.movedim(1, -1), targets.movedim(1, -1), batch)
    assert moved == pytest.approx((value, error), rel=1e-13)
    assert objective.recognised is None


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(
    ("out", "true", "positive"),
    [
        ((), (), None), ((1,), (), None), ((), (1,), [3.0]), ((1,), (1,), [0.5]), ((3,), (3,), None),
        ((3,), (3,), [1.0, 2.0, 0.5]), ((3,), (3,), [2.0]), ((1, 2, 2), (2, 2), None),
        ((3, 2, 2), (3, 2, 2), [1, 4, 0]),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("integers", [True, False])
def test_binary_cross_entropy(
    out: tuple[int, ...], true: tuple[int, ...], positive: list[float] | None, batch: int, integers: bool
) -> None:
    outputs = drawn(COUNT, *out)
    hard = (drawn(COUNT, *true, seed=3) > 0.4).long()
    targets = hard if integers else hard.double() * 0.9
    arguments = {} if positive is None else {"pos_weight": positive}
    objective = of("bce", targets, **arguments)
    objective.check(outputs, targets, targets)  # type: ignore[misc]
    value, error = loss_of(objective, outputs, targets, batch)
    logits = outputs.reshape(targets.shape)
    each, right = [], []
    labels = 1 if positive is None else len(positive)
    for z, y in zip(logits, targets.double(), strict=True):
        rows = zip(z.reshape(labels, -1).tolist(), y.reshape(labels, -1).tolist(), positive or [1.0], strict=True)
        flat = [(a, b, p) for row, truth, p in rows for a, b in zip(row, truth, strict=True)]
        each.append(statistics.fmean(p * b * softplus(-a) + (1 - b) * softplus(a) for a, b, p in flat))
        right.append(statistics.fmean((a > 0) == (b > 0.5) for a, b, _ in flat))
    assert value == pytest.approx(statistics.fmean(each), rel=1e-13)
    assert error == pytest.approx(statistics.stdev(each) / math.sqrt(COUNT), rel=1e-9)
    weight = (
        None if positive is None else torch.tensor(positive, dtype=torch.float64).reshape(-1, *[1] * (len(out) - 1))
    )
    whole = F.binary_cross_entropy_with_logits(logits, targets.double(), pos_weight=weight)
    assert value == pytest.approx(float(whole), rel=1e-13)
    assert accuracy_of(objective, outputs, targets, batch)[0] == pytest.approx(statistics.fmean(right), rel=1e-14)


def huber(x: float, delta: float) -> float:
    return 0.5 * x * x if abs(x) <= delta else delta * (abs(x) - 0.5 * delta)


REAL: list[tuple[str, dict[str, Any], Callable[[float, float], float], Callable[..., torch.Tensor]]] = [
    ("mse", {}, lambda z, y: (z - y) ** 2, F.mse_loss),
    ("l1", {}, lambda z, y: abs(z - y), F.l1_loss),
    ("smooth_l1", {}, lambda z, y: huber(z - y, 1.0), F.smooth_l1_loss),
    ("smooth_l1", {"beta": 0.5}, lambda z, y: huber(z - y, 0.5) / 0.5, F.smooth_l1_loss),
    ("huber", {}, lambda z, y: huber(z - y, 1.0), F.huber_loss),
    ("huber", {"delta": 2.5}, lambda z, y: huber(z - y, 2.5), F.huber_loss),
    ("poisson_nll", {}, lambda z, y: math.exp(z) - y * z, F.poisson_nll_loss),
    (
        "poisson_nll", {"full": True},
        lambda z, y: math.exp(z) - y * z + (y * math.log(y) - y + 0.5 * math.log(2 * math.pi * y) if y > 1 else 0.0),
        F.poisson_nll_loss,
    ),
]  # fmt: skip


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("name", "arguments", "by_hand", "function"), REAL)
def test_losses_of_numbers(
    name: str,
    arguments: dict[str, Any],
    by_hand: Callable[[float, float], float],
    function: Callable[..., torch.Tensor],
    batch: int,
) -> None:
    for out, true in (((3,), (3,)), ((1,), ()), ((2, 3), (2, 3))):
        outputs, targets = drawn(COUNT, *out), drawn(COUNT, *true, seed=9).abs().round()
        objective = of(name, targets, **arguments)
        value, error = loss_of(objective, outputs, targets, batch)
        logits = outputs.reshape(targets.shape)
        each = [
            statistics.fmean(map(by_hand, z.reshape(-1).tolist(), y.reshape(-1).tolist()))
            for z, y in zip(logits, targets, strict=True)
        ]
        assert value == pytest.approx(statistics.fmean(each), rel=1e-12)
        assert error == pytest.approx(statistics.stdev(each) / math.sqrt(COUNT), rel=1e-9)
        assert value == pytest.approx(float(function(logits, targets, **arguments)), rel=1e-13)
        assert len(measures_of(objective)) == 1
        if name != "mse":  # integers are numbers too
            assert loss_of(of(name, targets.long(), **arguments), outputs, targets.long(), batch)[0] == value


def test_rates_without_a_logarithm() -> None:
    outputs, targets = drawn(COUNT, 2).exp(), drawn(COUNT, 2).abs().round()
    value, _ = loss_of(of("poisson_nll", targets, log_input=False, eps=1e-6), outputs, targets, 7)
    pairs = zip(outputs.reshape(-1).tolist(), targets.reshape(-1).tolist(), strict=True)
    assert value == pytest.approx(statistics.fmean(z - y * math.log(z + 1e-6) for z, y in pairs), rel=1e-12)


def test_batches_without_a_target_that_counts_add_nothing() -> None:
    outputs, targets = drawn(COUNT, CLASSES), classes(COUNT)
    targets[:14] = -100
    objective = of("cross_entropy", targets, ignore_index=-100)
    for measure in measures_of(objective, [make_metric("ece").measure, make_metric("top2").measure]):
        assert math.isfinite(measured(measure, outputs, targets, 7)[0])
        assert measured(measure, outputs, targets, 7)[0] == pytest.approx(measured(measure, outputs, targets, 23)[0])


@pytest.mark.parametrize("name", ["cross_entropy", "bce"])
def test_where_a_score_is_not_finite_there_is_no_accuracy(name: str) -> None:
    outputs = drawn(COUNT, CLASSES)
    targets = classes(COUNT, void=True) if name == "cross_entropy" else classes(COUNT, CLASSES).clamp(max=1)
    outputs[3, 1] = math.inf
    arguments = {"ignore_index": VOID} if name == "cross_entropy" else {}
    assert math.isnan(accuracy_of(of(name, targets, **arguments), outputs, targets, 7)[0])


# through a run


class Sequences(nn.Module):
    """Returns scores for every token, classes last."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.embedding, self.head = nn.Embedding(6, 8), nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(x))


def linear(outputs: int = CLASSES) -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(6, outputs)


def surface(loss: str, targets: Any, model: nn.Module | None = None, **options: Any) -> lossgrid.Surface:
    inputs = drawn(len(targets), 6).float()
    return lossgrid.evaluate(model or linear(), (inputs, targets), alpha=(-1, 1, 3), loss=loss, **options)


@pytest.mark.parametrize("batch_size", [1, 7, COUNT])
def test_a_language_model_with_padding_runs_as_it_is(batch_size: int) -> None:
    tokens = classes(COUNT, 4)  # as many tokens as classes: two readings without class_dim
    targets = tokens.roll(-1, 1)
    targets[:, -1] = -100
    arguments = {"class_dim": -1, "ignore_index": -100, "label_smoothing": 0.1}
    model = Sequences()
    line = lossgrid.evaluate(
        model, (tokens, targets), alpha=(-1, 1, 3), loss_args=arguments, metrics=["top2"], batch_size=batch_size
    )
    scores = model(tokens).detach().double().movedim(-1, 1)
    expected = F.cross_entropy(scores, targets, label_smoothing=0.1)
    assert line["train_loss"][1] == pytest.approx(float(expected), rel=1e-6)
    right = (scores.argmax(dim=1) == targets)[targets != -100].double().mean()
    assert line["train_accuracy"][1] == pytest.approx(float(right), rel=1e-12)
    assert (line.errors["train_loss"] > 0).all()
    assert line.quantities["train_loss"].units == "nats per target"
    assert np.isnan(line.errors["train_top2"]).all()


def test_segmentation_with_a_void_label() -> None:
    torch.manual_seed(1)
    model = nn.Conv2d(3, CLASSES, 1)
    inputs, targets = drawn(COUNT, 3, 4, 6).float(), classes(COUNT, 4, 6, void=True)
    line = lossgrid.evaluate(
        model, (inputs, targets), alpha=(-1, 1, 3), loss_args={"ignore_index": VOID, "weight": np.array(WEIGHT)}
    )
    logits = model(inputs).detach().double()
    expected = F.cross_entropy(logits, targets, ignore_index=VOID, weight=torch.tensor(WEIGHT).double())
    assert line["train_loss"][1] == pytest.approx(float(expected), rel=1e-6)


def test_one_logit_for_two_classes() -> None:
    targets = torch.arange(COUNT) % 2
    line = surface("bce", targets, linear(1), loss_args={"pos_weight": [2.0]})
    logits = linear(1)(drawn(COUNT, 6).float()).detach().double()[:, 0]
    weight = torch.tensor([2.0]).double()
    expected = F.binary_cross_entropy_with_logits(logits, targets.double(), pos_weight=weight)
    assert line["train_loss"][1] == pytest.approx(float(expected), rel=1e-6)
    assert line["train_accuracy"][1] == pytest.approx(float(((logits > 0) == targets).double().mean()))
    flags = surface("bce", targets.bool(), linear(1), loss_args={"pos_weight": [2.0]})
    np.testing.assert_array_equal(flags["train_loss"], line["train_loss"])


@pytest.mark.parametrize(
    ("loss", "arguments", "targets", "words"),
    [
        ("cross_entropy", {"ignore_idx": 3}, None, r"loss_args: cross_entropy takes .* did you mean ignore_index\?"),
        ("mse", {"weight": [1.0]}, None, "loss_args: mse takes no arguments, got 'weight'"),
        ("cross_entropy", {"ignore_index": 1.5}, None, "ignore_index: expected a whole number such as -100, got 1.5"),
        ("cross_entropy", {"ignore_index": True}, None, "ignore_index: expected a whole number"),
        ("cross_entropy", {"ignore_index": 2**63}, None, "ignore_index: expected a whole number"),
        ("cross_entropy", {"label_smoothing": 1.5}, None, "label_smoothing: expected a number from 0 to 1, got 1.5"),
        ("cross_entropy", {"label_smoothing": math.nan}, None, "label_smoothing: expected a number from 0 to 1"),
        ("cross_entropy", {"label_smoothing": 10**400}, None, "label_smoothing: expected a number from 0 to 1"),
        ("cross_entropy", {"weight": [1.0, 2.0]}, None, "weight: expected 4 numbers, one for each class.*got 2"),
        ("cross_entropy", {"weight": []}, None, "weight: expected a list of numbers"),
        ("cross_entropy", {"weight": [0, 0, 0, 0]}, None, "weight: expected a list of numbers of at least 0, not all"),
        ("cross_entropy", {"weight": [1, -1, 1, 1]}, None, "weight: expected a list of numbers"),
        ("cross_entropy", {"weight": [1, math.inf, 1, 1]}, None, "weight: expected a list of numbers"),
        ("cross_entropy", {"weight": [[1, 1], 2]}, None, "weight: expected a list of numbers"),
        ("cross_entropy", {"weight": "1,2"}, None, "weight: expected a list of numbers"),
        ("cross_entropy", {"weight": {"a": {}}}, None, "weight: expected a list of numbers"),
        ("cross_entropy", {"weight": object()}, None, "loss_args: expected a number.*as weight, got object"),
        ("cross_entropy", {"class_dim": 2}, None, "class_dim: expected 1, or -1"),
        ("cross_entropy", {"class_dim": -1}, torch.zeros(COUNT, 2).long(), r"shape \(23, 2, classes\), got"),
        ("cross_entropy", {"soft": 1}, None, "soft: expected true or false"),
        ("cross_entropy", {"soft": True}, None, "needs probabilities of classes as targets, got integers"),
        ("cross_entropy", {"soft": True, "ignore_index": 1}, torch.rand(COUNT, 4), "leave one of them out"),
        ("cross_entropy", {"soft": True}, torch.rand(COUNT, 4), "sum 1 over the classes.* use --loss bce|use loss"),
        ("cross_entropy", {"soft": True}, torch.rand(COUNT), r"of the shape of the outputs, \(23, 4\), got \(23,\)"),
        ("cross_entropy", {}, torch.rand(COUNT, 4), "for probabilities of classes give loss_args soft=true"),
        ("cross_entropy", {}, torch.full((COUNT,), -100), r"classes -100\.\.-100.*give loss_args ignore_index=N"),
        ("cross_entropy", {"ignore_index": -100}, torch.full((COUNT,), -100), "no target counts"),
        ("cross_entropy", {"ignore_index": 3}, torch.arange(COUNT) % 6, r"has classes 0\.\.5, but"),
        ("cross_entropy", {"weight": [1, 1, 1, 0]}, torch.full((COUNT,), 3), "classes of all targets have weight 0"),
        ("bce", {}, torch.arange(COUNT) % 2, r"outputs of the shape of the targets, \(23,\), got \(23, 4"),
        ("bce", {}, torch.full((COUNT, 4), 2), "expected targets from 0 to 1, got 2 to 2"),
        ("bce", {}, torch.full((COUNT, 4), -0.5), "expected targets from 0 to 1, got -0.5"),
        ("bce", {"pos_weight": [1.0, 2.0]}, torch.ones(COUNT, 4), "pos_weight: expected 4 numbers.*got 2"),
        ("bce", {"pos_weight": 3.0}, torch.ones(COUNT, 4), "pos_weight: expected a list"),
        ("bce", {}, torch.ones(COUNT, 4) * 1j, "takes real numbers"),
        ("l1", {}, torch.rand(COUNT, 3), "l1: expected outputs of the shape of the targets"),
        ("l1", {}, torch.rand(COUNT, 4) * 1j, "l1 takes real numbers"),
        ("huber", {"delta": 0}, torch.rand(COUNT, 4), "delta: expected a finite number above 0"),
        ("smooth_l1", {"delta": 1.0}, torch.rand(COUNT, 4), "smooth_l1 takes beta"),
        ("poisson_nll", {}, -torch.ones(COUNT, 4), "poisson_nll: expected counts of at least 0 as targets, got -1"),
        ("poisson_nll", {"full": "yes"}, torch.ones(COUNT, 4), "full: expected true or false"),
        ("cross_entropi", {}, None, r"expected cross_entropy, mse, .*did you mean cross_entropy\?"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(
    loss: str, arguments: dict[str, Any], targets: torch.Tensor | None, words: str
) -> None:
    given = classes(COUNT) if targets is None else targets
    with pytest.raises(InputError, match=words) as caught:
        surface(loss, given, loss_args=arguments)
    assert "\n" not in str(caught.value)


def test_arguments_are_no_list_and_belong_to_built_in_losses() -> None:
    with pytest.raises(InputError, match="loss_args: expected a dict such as"):
        surface("cross_entropy", classes(COUNT), loss_args=[1])
    with pytest.raises(InputError, match="loss_args weight: arguments are for built-in losses, and ratio is your own"):
        surface(ratio, classes(COUNT), loss_args={"weight": [1.0]})  # type: ignore[arg-type]


def test_metrics_of_classes_need_classes() -> None:
    with pytest.raises(InputError, match="top2 is of classes, and split 'train' has none"):
        surface("bce", classes(COUNT, CLASSES).clamp(max=1), metrics=["top2"])


def test_a_surface_is_resumed_with_the_same_arguments_only(tmp_path: Path) -> None:
    out, targets = tmp_path / "s.h5", classes(COUNT)
    first = surface("cross_entropy", targets, out=out, loss_args={"label_smoothing": 0.1})
    again = surface("cross_entropy", targets, out=out, loss_args={"label_smoothing": 0.1})
    np.testing.assert_array_equal(first["train_loss"], again["train_loss"])
    with pytest.raises(InputError, match=r"loss-arg is \{'label_smoothing': 0.1\} there and \{\} now"):
        surface("cross_entropy", targets, out=out)
    with pytest.raises(InputError, match=r"loss-arg is .*0.1\} there and \{'label_smoothing': 0.2\} now"):
        surface("cross_entropy", targets, out=out, loss_args={"label_smoothing": 0.2})


def test_a_comparison_of_other_arguments_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, arguments in (("plain", {}), ("smooth", {"label_smoothing": 0.1})):
        surface("cross_entropy", classes(COUNT), out=tmp_path / f"{name}.h5", loss_args=arguments)
    files = [tmp_path / "plain.h5", tmp_path / "smooth.h5"]
    compare_files(
        files, metric=None, radius=0.5, levels=[], log_scale=None, vmax=None, labels=[], out=None, draw=False,
        overwrite=False,
    )  # fmt: skip
    assert "loss-arg differs, and with it the unit of some numbers: none in" in caplog.text
    assert "{'label_smoothing': 0.1} in" in caplog.text


def test_files_from_before_have_no_arguments() -> None:
    from lossgrid.settings import recorded

    config = RunConfig(model="mlp")
    before = config.model_dump(mode="json")
    del before["loss_arg"]
    assert recorded(before).identity() == config.identity()
    assert config.identity()["loss_arg"] == {}


def test_the_command_line_and_the_file_of_settings_take_arguments(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('model = "mlp"\n[loss-arg]\nignore_index = 255\n')
    config = settings_of(RunConfig, {"loss_arg": ["weight=[1, 2]", "label_smoothing=0.1"]}, tmp_path / "run.toml")
    assert config.loss_arg == {"ignore_index": 255, "weight": [1, 2], "label_smoothing": 0.1}
    with pytest.raises(InputError, match=f"{option_of('loss_arg')}: expected K=V"):
        settings_of(RunConfig, {"loss_arg": ["weight"]}, tmp_path / "run.toml")


def test_the_help_names_every_loss() -> None:
    text = RunConfig.model_fields["loss"].description or ""
    assert text.startswith(f"The loss: {', '.join(LOSSES)}, or")


@pytest.mark.parametrize("variant", ["plain", "folded"])
def test_weights_are_those_of_the_dtype_of_the_outputs(variant: str) -> None:
    inputs, targets = drawn(COUNT, 6).float(), classes(COUNT)
    evaluator = an_evaluator(linear(), (inputs, targets), precision="bfloat16")
    objective = of("cross_entropy", targets, weight=WEIGHT)
    evaluator = replace(evaluator, objectives={"train": objective})
    value = evaluator.point(0.0).values[0]
    expected = in_torch(linear()(inputs).detach().double(), targets, {"weight": WEIGHT})
    assert value == pytest.approx(expected, rel=2e-2)


# through a training


def trained(tmp_path: Path, **settings: Any) -> bool:
    from lossgrid.parallel import stop_on_signals

    given = {"model": "mlp", "model_arg": {"hidden": [4]}, "max_samples": 60, "epochs": 1, "batch_size": 20}
    config = TrainConfig(**{**given, "out": tmp_path / "t", **settings})
    with stop_on_signals() as stop:
        return train(config, stop)


def test_a_training_takes_arguments_and_resumes_with_the_same_only(tmp_path: Path) -> None:
    arguments = {"ignore_index": 3, "weight": [1.0 + i for i in range(10)], "label_smoothing": 0.1}
    assert trained(tmp_path, loss_arg=arguments)
    assert trained(tmp_path, loss_arg=arguments)
    with pytest.raises(InputError, match=r"loss-arg is .* there and \{\} now"):
        trained(tmp_path)
    with pytest.raises(InputError, match="--micro-batch makes a mean of each part"):
        trained(tmp_path, loss_arg={"ignore_index": 3}, micro_batch=10, out=tmp_path / "parts")
    with pytest.raises(InputError, match="label-noise draws ignored targets anew"):
        trained(tmp_path, loss_arg={"ignore_index": 3}, label_noise=0.5, out=tmp_path / "noisy")


@pytest.mark.parametrize("targets", [[3, 3, 1, 2], [3, 3, 3, 3], [3, 3, 0, 0]])
def test_the_gradient_is_that_of_torch_and_0_where_no_target_counts(targets: list[int]) -> None:
    truth, inputs = torch.tensor(targets), drawn(4, 6)
    model, other = linear().double(), linear().double()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    objective = of("cross_entropy", truth, ignore_index=3, weight=[0.0, 2.0, 3.0, 4.0])
    device = choose_device("cpu", "float64", local_rank=0)
    Learner(model, optimizer, schedule, {"train": objective}, device, 4, False).update("train", inputs, truth)
    weight = torch.tensor([0.0, 2.0, 3.0, 4.0]).double()
    if 1 in targets:
        F.cross_entropy(other(inputs), truth, ignore_index=3, weight=weight).backward()
        gradient = other.weight.grad
    else:
        gradient = torch.zeros_like(other.weight)
    assert gradient is not None
    torch.testing.assert_close(model.weight, other.weight - gradient, rtol=1e-13, atol=1e-14)


def test_trainings_from_before_are_gone_on_with(tmp_path: Path) -> None:
    assert trained(tmp_path)
    content = torch.load(tmp_path / "t" / "last.pt", weights_only=True)
    assert content["settings"].pop("loss_arg") == {}
    torch.save(content, tmp_path / "t" / "last.pt")
    assert trained(tmp_path, epochs=2)
    assert len((tmp_path / "t" / "epochs.csv").read_text().splitlines()) == 4
