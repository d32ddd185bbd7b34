"""Losses that are no mean over samples, outputs that depend on the batch, classes that cannot be told."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lossgrid
from lossgrid.errors import InputError
from tests.builders import a_perceptron

COUNT, CLASSES = 90, 4
WEIGHTS = torch.tensor([1.0, 10.0, 0.1, 3.0])
DELTA = {"2.weight": torch.linspace(-1, 1, 32).reshape(4, 8)}


def network(classes: int = CLASSES) -> nn.Module:
    return a_perceptron(6, 8, classes, activation=nn.Tanh, seed=1).eval()


def samples(*, is_sorted: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    targets = torch.arange(COUNT) % CLASSES
    return torch.randn(COUNT, 6, generator=generator), targets.sort().values if is_sorted else targets


def outputs_at(alpha: float, model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Return the outputs at a point in float64, sample by sample, the moved weight set by hand."""
    first, second = model[0], model[2]
    weight = second.weight.double() + alpha * DELTA["2.weight"].double()
    rows = [
        F.linear(
            torch.tanh(F.linear(x.double(), first.weight.double(), first.bias.double())), weight, second.bias.double()
        )
        for x in inputs
    ]
    return torch.stack(rows).detach()


def surface(loss: object, data: object = None, **options: object) -> lossgrid.Surface:
    given = samples() if data is None else data
    return lossgrid.evaluate(network(), given, alpha=(-1, 1, 3), directions=[DELTA], loss=loss, **options)  # type: ignore[arg-type]


def weighted_mean(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(outputs, targets, weight=WEIGHTS)


def weighted_pair(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return F.cross_entropy(outputs, targets, weight=WEIGHTS, reduction="sum"), WEIGHTS[targets].sum()


def ignoring_mean(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(outputs, targets)


def ignoring_pair(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, int]:
    return F.cross_entropy(outputs, targets, reduction="sum"), int((targets >= 0).sum())


def normalised_by_batch(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    losses = F.cross_entropy(outputs, targets, reduction="none")
    return losses / losses.max()


def root_of_mean(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(outputs, targets).sqrt()


def contrast(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    normal = F.normalize(outputs)
    return F.cross_entropy(normal @ normal.T, torch.arange(len(outputs)))


@pytest.mark.parametrize(
    "loss",
    [
        weighted_mean, nn.CrossEntropyLoss(weight=WEIGHTS), nn.CrossEntropyLoss(reduction="sum"), normalised_by_batch,
        root_of_mean, contrast, lambda o, t: (F.cross_entropy(o, t), 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_sorted", [True, False])
def test_losses_that_do_not_add_up_are_refused(loss: object, is_sorted: bool) -> None:
    with pytest.raises(InputError, match="it is no mean over samples; return a number per sample, or the pair"):
        surface(loss, samples(is_sorted=is_sorted))


def test_means_that_ignore_labels_are_refused() -> None:
    inputs, targets = samples()
    targets[::4] = -100
    with pytest.raises(InputError, match="no mean over samples"):
        surface(ignoring_mean, (inputs, targets))
    rare = targets.clone()
    rare[:] = rare.clamp(min=0)
    rare[37] = -100  # a single one of them
    with pytest.raises(InputError, match="no mean over samples"):
        surface(ignoring_mean, (inputs, rare))


@pytest.mark.parametrize("batch_size", [7, 30, 90])
def test_totals_and_weights_are_summed_over_all_batches(batch_size: int) -> None:
    inputs, targets = samples()
    line = surface(weighted_pair, (inputs, targets), batch_size=batch_size)
    for i, alpha in enumerate(line.alpha):
        logits = outputs_at(float(alpha), network(), inputs)
        losses = [float(F.cross_entropy(z[None], y[None])) for z, y in zip(logits, targets, strict=True)]
        weights = [float(WEIGHTS[y]) for y in targets]
        expected = math.fsum(w * v for w, v in zip(weights, losses, strict=True)) / math.fsum(weights)
        assert line["train_loss"][i] == pytest.approx(expected, rel=1e-6)
    assert 0 <= line["train_accuracy"].min() <= line["train_accuracy"].max() <= 1


@pytest.mark.parametrize("batch_size", [7, 90])
def test_ignored_labels_by_pair_and_by_sample(batch_size: int, caplog: pytest.LogCaptureFixture) -> None:
    inputs, targets = samples()
    targets[::4] = -100
    pair = surface(ignoring_pair, (inputs, targets), batch_size=batch_size)
    assert list(pair.quantities) == ["train_loss"]  # -100 is no class, so that there is no accuracy
    assert "no accuracy of split 'train': split 'train' has classes -100..3" in caplog.text
    logits = outputs_at(0.0, network(), inputs)
    losses = [float(F.cross_entropy(z[None], y[None])) for z, y in zip(logits, targets, strict=True) if y >= 0]
    assert pair["train_loss"][1] == pytest.approx(math.fsum(losses) / len(losses), rel=1e-6)
    each = surface(lambda o, t: F.cross_entropy(o, t, reduction="none"), (inputs, targets), batch_size=batch_size)
    assert each["train_loss"][1] == pytest.approx(math.fsum(losses) / COUNT, rel=1e-6)


def test_one_logit_for_two_classes_needs_no_classes_of_its_own() -> None:
    inputs, _ = samples()
    targets = torch.arange(COUNT) % 2
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
    for loss in (
        lambda o, t: F.binary_cross_entropy_with_logits(o[:, 0], t.float(), reduction="none"),
        lambda o, t: F.binary_cross_entropy_with_logits(o.squeeze(1), t.float()),
    ):
        line = lossgrid.evaluate(model, (inputs, targets), alpha=(0, 1, 2), loss=loss)
        expected = F.binary_cross_entropy_with_logits(model(inputs).detach()[:, 0], targets.float())
        assert line["train_loss"][0] == pytest.approx(float(expected), rel=1e-5)
        assert list(line.quantities) == ["train_loss"]


def test_a_loss_of_the_weights_gets_the_network_that_moves() -> None:
    def decayed(outputs: torch.Tensor, targets: torch.Tensor, model: nn.Module) -> torch.Tensor:
        return F.cross_entropy(outputs, targets) + 0.1 * sum(p.square().sum() for p in model.parameters())

    line = surface(decayed)
    inputs, targets = samples()
    net = network()
    for i, alpha in enumerate(line.alpha):
        weights = [p.detach().double() for name, p in net.named_parameters() if name != "2.weight"]
        weights.append(net[2].weight.detach().double() + float(alpha) * DELTA["2.weight"].double())
        penalty = 0.1 * sum(float(w.square().sum()) for w in weights)
        logits = outputs_at(float(alpha), net, inputs)
        assert line["train_loss"][i] == pytest.approx(float(F.cross_entropy(logits, targets)) + penalty, rel=1e-6)


def holders(model: nn.Module) -> dict[str, Callable[..., object]]:
    parameters = list(model.parameters())

    def helper() -> torch.Tensor:
        return sum(p.square().sum() for p in model.parameters())  # type: ignore[return-value]

    class Loss:
        def __init__(self) -> None:
            self.net = model

        def __call__(self, o: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(o, t) + self.net[2].weight.square().sum()  # type: ignore[index, union-attr, operator]

        def of(self, o: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(o, t)

    class Criterion(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def forward(self, o: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(o, t) + self.net[2].weight.sum()  # type: ignore[index, union-attr, operator]

    def with_default(o: torch.Tensor, t: torch.Tensor, held: object = parameters[0]) -> torch.Tensor:
        return F.cross_entropy(o, t) + held.sum()  # type: ignore[attr-defined]

    return {
        "closure": lambda o, t: F.cross_entropy(o, t) + sum(p.square().sum() for p in model.parameters()),
        "a list of parameters": lambda o, t: F.cross_entropy(o, t) + parameters[0].sum(),
        "a helper": lambda o, t: F.cross_entropy(o, t) + helper(),
        "functools.partial": partial(lambda o, t, held: F.cross_entropy(o, t) + held[0].weight.sum(), held=model),
        "an object": Loss(),
        "a method": Loss().of,
        "a module": Criterion(),
        "a default argument": with_default,
        "a view": partial(lambda o, t, held: F.cross_entropy(o, t) + held.sum(), held=parameters[0].detach()[0]),
    }


@pytest.mark.parametrize("kind", list(holders(network())))
def test_losses_that_hold_the_users_network_are_refused(kind: str) -> None:
    model = network()
    with pytest.raises(InputError, match="which stays at theta\\*; give the loss a parameter 'model'"):
        lossgrid.evaluate(model, samples(), alpha=(0, 1, 2), loss=holders(model)[kind])


def test_losses_that_hold_other_networks_are_taken() -> None:
    teacher = network()
    inputs, _ = samples()
    soft = teacher(inputs).softmax(1).detach()

    def distil(o: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(o, t, reduction="none") + 0 * teacher[0].weight.sum()

    line = lossgrid.evaluate(network(), (inputs, soft), alpha=(0, 1, 2), loss=distil)
    assert line.complete


class ByBatch(nn.Module):
    """Normalises by the statistics of the batch, also in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8, track_running_stats=False)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.linear(x)).tanh())


class Centred(nn.Module):
    """Takes the mean of the batch off its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.linear(x)
        return y - y.mean(dim=0)


@pytest.mark.parametrize("kind", [ByBatch, Centred])
def test_outputs_that_depend_on_the_batch_need_a_batch_size(kind: type[nn.Module], tmp_path: object) -> None:
    torch.manual_seed(0)
    model, out = kind(), tmp_path / "s.h5"  # type: ignore[operator]
    with pytest.raises(InputError, match=r"the outputs of a sample depend on its batch.*give batch_size N"):
        lossgrid.evaluate(model, samples(), alpha=(0, 1, 2), out=out)
    line = lossgrid.evaluate(model, samples(), alpha=(0, 1, 2), out=out, batch_size=30)
    inputs, targets = samples()
    model.eval()
    batches = [
        float(F.cross_entropy(model(x), y).detach()) for x, y in zip(inputs.split(30), targets.split(30), strict=True)
    ]
    assert line["train_loss"][0] == pytest.approx(np.mean(batches), rel=1e-5)
    assert line.provenance["by_batch"] is True
    with pytest.raises(InputError, match="batch-size is 30 there and 45 now"):
        lossgrid.evaluate(model, samples(), alpha=(0, 1, 2), out=out, batch_size=45)


class Sequences(nn.Module):
    """Returns scores for every token, classes last or first."""

    def __init__(self, classes: int, *, last: bool) -> None:
        super().__init__()
        self.embedding, self.head, self.last = nn.Embedding(classes, 8), nn.Linear(8, classes), last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.head(self.embedding(x))
        return scores if self.last else scores.movedim(-1, 1)


def test_a_class_axis_that_can_be_two_is_refused_with_both() -> None:
    tokens = torch.arange(70).reshape(10, 7) % 7
    for last in (True, False):
        with pytest.raises(InputError, match=r"can be read in 2 ways .* in dimension 1 or in dimension 2"):
            lossgrid.evaluate(Sequences(7, last=last), (tokens, tokens), alpha=(0, 1, 2))
    with pytest.raises(InputError, match="dimension 2 could be the classes, which are expected in dimension 1"):
        lossgrid.evaluate(Sequences(9, last=True), (tokens, tokens), alpha=(0, 1, 2))
    good = lossgrid.evaluate(Sequences(9, last=False), (tokens, tokens), alpha=(0, 1, 2))
    assert good.complete


def test_pictures_as_many_classes_as_pixels_are_ambiguous_too() -> None:
    model = nn.Conv2d(3, 5, 1)
    inputs, targets = torch.randn(6, 3, 5, 5), torch.randint(0, 5, (6, 5, 5))
    with pytest.raises(InputError, match=r"can be read in 2 ways .* in dimension 1 or in dimension 3"):
        lossgrid.evaluate(model, (inputs, targets), alpha=(0, 1, 2))
    wide = lossgrid.evaluate(model, (torch.randn(6, 3, 5, 7), torch.randint(0, 5, (6, 5, 7))), alpha=(0, 1, 2))
    assert wide.complete


def test_accuracy_where_outputs_are_not_finite_is_not_a_number() -> None:
    line = lossgrid.evaluate(network(), samples(), alpha=(0, 3e38, 2))
    assert math.isfinite(line["train_accuracy"][0])
    assert math.isnan(line["train_accuracy"][1])
    assert line.status.tolist() == [1, 2]


def test_wrong_returns_are_named() -> None:
    for loss, words in (
        (lambda o, t: o, r"got shape \(\d+, 4\)"),
        (lambda o, t: {"loss": 1}, "got dict"),
        (lambda o, t: (o, t), "a tuple of 2"),
        (lambda o, t: (o.sum(), -1.0), "a weight of at least 0"),
        (lambda o, t: o.sum() * 1j, "got complex numbers"),
        (lambda o, t: 1.0, "got float"),
    ):
        with pytest.raises(InputError, match=words):
            surface(loss)


def test_derivatives_by_the_inputs_are_answered_with_the_way_out() -> None:
    class Physics(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network(1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.enable_grad():
                x = x.clone().requires_grad_(True)
                return torch.autograd.grad(self.net(x).sum(), x)[0]

    with pytest.raises(InputError, match=r"set the attribute needs_grad = True on your loss or step"):
        lossgrid.evaluate(Physics(), (samples()[0], torch.zeros(COUNT, 6)), alpha=(0, 1, 2), loss="mse")
