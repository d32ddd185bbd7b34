"""The values of a point against a slow, obvious reference in float64."""

import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from lossgrid import directions
from lossgrid.errors import InputError
from lossgrid.evaluation import Device, Evaluator, Plane, choose_device
from lossgrid.measures import make_objective
from tests.builders import a_batch, a_direction, a_network, an_evaluator

CPU = torch.device("cpu")


def network() -> nn.Module:
    return a_network(1, 4, 10, side=8, activation=nn.ReLU, statistics=True, seed=3)


def samples(count: int = 37) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, 1, 8, 8, generator=generator), torch.randint(0, 10, (count,), generator=generator)


def plane_of(model: nn.Module) -> tuple[directions.Entries, directions.Entries]:
    delta, eta = (a_direction(model, seed=1, axis=axis, norm="filter", everything=True) for axis in (0, 1))
    return delta, eta


def evaluator(precision: str = "float64", *, given: object = None, **changes: Any) -> Evaluator:
    model = network()
    delta, eta = plane_of(model)
    data = samples() if given is None else given
    return an_evaluator(model, data, delta=delta, eta=eta, precision=precision, **changes)


def reference(alpha: float, beta: float) -> tuple[float, float]:
    """Compute loss and accuracy sample by sample, in float64, from a network whose tensors are set one by one."""
    model = network()
    delta, eta = plane_of(model)
    model = model.double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(parameter + alpha * delta[name] + beta * eta[name])
    losses, correct = [], 0
    for x, y in zip(*samples(), strict=True):
        with torch.no_grad():
            logits = model(x[None].double())[0].tolist()
        top = max(logits)
        losses.append(top + math.log(math.fsum(math.exp(z - top) for z in logits)) - logits[int(y)])
        correct += logits.index(top) == int(y)
    return math.fsum(losses) / len(losses), correct / len(losses)


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (1.0, 0.0), (0.0, -1.0), (-0.7, 0.4)])
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-12), ("float32", 1e-5), ("bfloat16", 5e-2)])
def test_values_are_those_of_the_reference(alpha: float, beta: float, precision: str, tolerance: float) -> None:
    loss, accuracy = reference(alpha, beta)
    values, errors, seconds = evaluator(precision).point(alpha, beta)
    assert (values.dtype, errors.dtype) == (np.float64, np.float64)
    assert values[0] == pytest.approx(loss, rel=tolerance)
    assert values[1] == pytest.approx(accuracy, abs=0 if precision != "bfloat16" else 3 / 37)
    assert seconds > 0


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["plain", "folded", "fused"])
def test_float32_is_right_to_five_digits_at_every_point_of_a_surface(variant: str) -> None:
    """25 x 25 points against the plain network in float64, whose points are checked against the reference above."""
    exact, fast = evaluator("float64"), evaluator("float32")
    fast = fast.with_variant(variant)
    coordinates = np.linspace(-1, 1, 25)
    points = [(alpha, beta) for beta in coordinates for alpha in coordinates]
    expected, found = (np.array([made.point(*point).values[0] for point in points]) for made in (exact, fast))
    worst = np.argmax(np.abs(found / expected - 1))
    assert found[worst] == pytest.approx(expected[worst], rel=1e-5), f"at {points[worst]}"


@pytest.mark.parametrize("batch_size", [1, 5, 37, 1000])
def test_the_short_last_batch_is_weighted(batch_size: int) -> None:
    values = evaluator(batch_size=batch_size).point(0.3, 0.1).values
    np.testing.assert_allclose(values, reference(0.3, 0.1), rtol=1e-12)


def test_the_order_of_points_does_not_matter_to_the_bit() -> None:
    points = [(0.0, 0.0), (1e3, -1e3), (0.1, 0.2), (0.0, 0.0), (-1.0, 1.0)]
    there, back = evaluator("float32"), evaluator("float32")
    one = {p: there.point(*p).values for p in points}
    two = {p: back.point(*p).values for p in reversed(points)}
    for point in points:
        np.testing.assert_array_equal(one[point], two[point])


def test_plane_moves_from_the_snapshot_and_restores_it() -> None:
    model = network()
    before = directions.copied(directions.states(model))
    delta, eta = plane_of(model)
    plane = Plane(model, delta, eta)
    for alpha in (0.1, -3.0, 1e6):
        plane.move(alpha, -alpha)
        for name, parameter in model.named_parameters():
            expected = before[name].double() + alpha * delta[name] - alpha * eta[name]
            np.testing.assert_allclose(parameter.detach(), expected, rtol=1e-5, atol=1e-5 * abs(alpha))
    plane.restore()
    assert all(torch.equal(tensor, before[name]) for name, tensor in directions.states(model).items())
    plane.move(0.0, 0.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in directions.states(model).items())


def test_plane_moves_buffers_and_shared_parameters_once() -> None:
    shared = nn.Linear(3, 3, bias=False)
    model = nn.Sequential(shared, nn.BatchNorm1d(3), shared).eval()
    start = shared.weight.detach().clone()
    delta = {"0.weight": torch.ones(3, 3), "1.running_var": torch.full((3,), 2.0)}
    Plane(model, delta).move(0.5)
    np.testing.assert_allclose(shared.weight.detach(), start + 0.5)
    np.testing.assert_allclose(model[1].running_var, 2.0)
    assert model[0].weight is model[2].weight


def test_losses() -> None:
    outputs = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]], dtype=torch.float64)
    targets = torch.tensor([0, 2])
    soft = [[math.exp(z) / sum(map(math.exp, row)) for z in row] for row in outputs.tolist()]
    entropy = [-math.log(soft[0][0]), -math.log(soft[1][2])]
    squares = [
        sum((p - (k == int(t))) ** 2 for k, p in enumerate(row)) / 3 for row, t in zip(soft, targets, strict=True)
    ]
    for name, expected in (("cross_entropy", entropy), ("mse", squares)):
        objective = make_objective(name, classification=True)
        np.testing.assert_allclose(objective.terms(outputs, targets)[0], expected, rtol=1e-14)
        (total, weight), (correct, count) = objective.sums(outputs, targets).tolist()
        assert total == pytest.approx(sum(expected))
        assert (weight, correct, count) == (2.0, 1.0, 2.0)


def test_regression_takes_one_column_or_none() -> None:
    objective = make_objective("mse", classification=False)
    outputs, targets = torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 1.0])
    assert objective.sums(outputs, targets).tolist() == [[1.0 + 4.0, 2.0]]
    with pytest.raises(InputError, match="outputs have shape"):
        objective.sums(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(InputError, match="integer classes"):
        make_objective("cross_entropy", classification=False)


def test_sequences_of_tokens_count_as_one_sample() -> None:
    outputs = torch.randn(4, 7, 5, dtype=torch.float64)  # (n, classes, tokens)
    targets = torch.randint(0, 7, (4, 5))
    expected = nn.functional.cross_entropy(outputs, targets, reduction="none").mean(dim=1)
    objective = make_objective("cross_entropy", classification=True)
    np.testing.assert_allclose(objective.terms(outputs, targets)[0], expected)


@pytest.fixture
def users_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "users_losses.py").write_text(
        "import torch\n"
        "def mean(outputs, targets):\n    return torch.nn.functional.cross_entropy(outputs, targets)\n"
        "def each(outputs, targets):\n"
        "    return torch.nn.functional.cross_entropy(outputs, targets, reduction='none')\n"
        "def pairs(outputs, targets):\n    return outputs\n"
        "def breaks(outputs, targets):\n    raise ValueError('my own fault')\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    yield "users_losses"
    sys.modules.pop("users_losses", None)


@pytest.mark.parametrize("function", ["mean", "each"])
def test_users_losses_mean_or_per_sample(users_module: str, function: str) -> None:
    values = evaluator(loss=f"{users_module}:{function}").point(0.2, 0.1).values
    np.testing.assert_allclose(values, reference(0.2, 0.1), rtol=1e-12)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("pairs", "expected a tensor with the mean of the batch, shape (), or a number per sample, shape (8,)"),
        ("breaks", "ValueError: my own fault (users_losses.py:9)"),
        ("number", "no function 'number'"),
        ("absent", "no function 'absent'"),
    ],
)
def test_users_losses_that_do_not_work_are_named(users_module: str, function: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        evaluator(loss=f"{users_module}:{function}").check("mine")
    assert words in str(caught.value)
    assert f"{users_module}:{function}" in str(caught.value)


def test_unknown_loss() -> None:
    with pytest.raises(InputError, match=r"cross_entropy, mse, .* or package\.module:function"):
        make_objective("crossentropy", classification=True)


def test_check_refuses_data_the_network_does_not_take() -> None:
    inputs, targets = samples()
    with pytest.raises(InputError, match=r"shape \(8, 3, 8, 8\)"):
        evaluator(given=(inputs.repeat(1, 3, 1, 1), targets)).check("net")
    with pytest.raises(InputError, match=r"classes 0\.\.10, but model net gives scores for 10"):
        evaluator(given=(inputs, torch.arange(37) % 11)).check("net")
    with pytest.raises(InputError, match=r"classes -1\.\."):
        evaluator(given=(inputs, torch.arange(37) % 11 - 1)).check("net")


def test_check_tells_networks_that_are_random() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x.flatten(1)) + torch.randn(len(x), 10)

    delta = {"linear.weight": torch.zeros(10, 64)}
    noisy = an_evaluator(Noisy(), samples(), delta=delta, precision="float32", channels_last=False)
    assert not noisy.check("noisy").deterministic
    assert evaluator().check("still").deterministic


def test_losses_that_overflow_come_back_as_they_are() -> None:
    values = evaluator("float32").point(1e30, 1e30).values
    assert not math.isfinite(values[0])
    assert math.isnan(values[1])


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """The samples as a Dataset that counts its reads."""

    def __init__(self) -> None:
        self.inputs, self.targets = samples()
        self.reads = 0

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        self.reads += 1
        return self.inputs[i], int(self.targets[i])


def test_a_dataset_is_read_once_and_kept() -> None:
    pictures = Pictures()
    kept = evaluator(given=pictures)
    first = kept.point(0.3, 0.1).values
    reads = pictures.reads
    second = kept.point(0.3, 0.1).values
    assert pictures.reads == reads
    np.testing.assert_allclose(first, reference(0.3, 0.1), rtol=1e-12)
    np.testing.assert_array_equal(first, second)


def test_a_dataset_too_large_is_streamed_with_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossgrid.data.batches._memory_left", lambda device: 1000.0)
    pictures = Pictures()
    streamed = evaluator(given=pictures)
    first = streamed.point(0.3, 0.1).values
    reads = pictures.reads
    streamed.point(0.3, 0.1)
    assert pictures.reads == reads + 37
    np.testing.assert_array_equal(first, evaluator().point(0.3, 0.1).values)


def test_places() -> None:
    assert choose_device("cpu", "float64", local_rank=3).dtype == torch.float64
    assert choose_device("auto", "bfloat16", local_rank=0).dtype == torch.float32
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            choose_device("cuda", "float32", local_rank=0)
    for precision in ("tf32", "float16"):
        with pytest.raises(InputError, match=precision):
            choose_device("cpu", precision, local_rank=0)


def test_what_overflows_in_float16_is_computed_in_float32(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))  # the last layer computes in float32
    made = an_evaluator(model, a_batch(6, 4, classes=3), precision="bfloat16")
    half = replace(made, subject=replace(made.subject, device=replace(made.device, precision="float16")))
    far = 1e6  # weights there are beyond 65504, the largest number of float16
    with caplog.at_level("INFO", logger="lossgrid"):
        near, beyond = half.point(0.1).values, half.point(far)
    assert len(caplog.records) == 1
    assert "not finite in float16" in caplog.text
    assert near[0] == pytest.approx(half.point_in_float32(0.1)[0], rel=1e-2)
    np.testing.assert_array_equal(beyond.values, half.point_in_float32(far))
    assert np.isfinite(beyond.values).all()


def test_a_place_is_named_by_its_gpu() -> None:
    assert choose_device("cpu", "float32", local_rank=0).name == "cpu"
    device = Device(torch.device("cuda", 1), "float32", torch.float32, "NVIDIA H100", "GPU-7")
    assert (device.model, device.uuid, device.name) == ("NVIDIA H100", "GPU-7", "NVIDIA H100 (GPU-7)")


def test_place_is_plain_data() -> None:
    device = Device(CPU, "float32", torch.float32, "cpu")
    with pytest.raises(AttributeError):
        device.name = "other"  # type: ignore[misc]
