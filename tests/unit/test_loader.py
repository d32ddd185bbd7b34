"""DataLoaders, iterables, and samples of any form: which samples are read, in which order, and what they become."""

from __future__ import annotations

import logging
from collections import UserDict, namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

import lossgrid
from lossgrid import data
from lossgrid.data import batches, by_split, split_of
from lossgrid.data.batch import equal
from lossgrid.data.batches import Resident
from lossgrid.data.mixed import mixed
from lossgrid.errors import InputError
from lossgrid.readers.spread import spread
from tests.builders import a_perceptron

N = 20
X, Y = torch.randn(N, 3, generator=torch.Generator().manual_seed(0)), torch.arange(N) % 2
PAIRS = TensorDataset(X, Y)


def batches_of(given: Any, size: int = 8, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    split = split_of(given, source="mine", **changes)
    return data.to_device(split, device=torch.device("cpu"), dtype=dtype, batch_size=size, channels_last=False)


class Items(Dataset[Any]):
    """What a function makes of the number of a sample."""

    def __init__(self, make: Any, count: int = N) -> None:
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Any:
        return self.make(i)


class Flow(IterableDataset[Any]):
    """The samples one after another; a length only if it is told."""

    def __init__(self, count: int = N) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Any]:
        return ((X[i], int(Y[i])) for i in range(self.count))


class Told(Flow):
    """The same with a length, which may be wrong."""

    def __init__(self, length: int, count: int = N) -> None:
        super().__init__(count)
        self.length = length

    def __len__(self) -> int:
        return self.length


class Backwards(Sampler[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(N - 1, -1, -1))


class Drawn(Sampler[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(N).tolist())


class Endless(Sampler[int]):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield 0


# samples

Pair = namedtuple("Pair", ["x", "y"])
FORMS: dict[str, tuple[Any, list[str], Any]] = {
    "pair": (lambda i: (X[i], Y[i]), ["inputs", "targets"], lambda: (X, Y)),
    "named": (lambda i: Pair(X[i], int(Y[i])), ["inputs", "targets"], lambda: (X, Y)),
    "numpy": (lambda i: [X[i].numpy(), np.int64(Y[i])], ["inputs", "targets"], lambda: (X, Y)),
    "numbers": (lambda i: (float(X[i, 0]), int(Y[i])), ["inputs", "targets"], lambda: (X[:, 0], Y)),
    "lists": (lambda i: (X[i].tolist(), int(Y[i])), ["inputs", "targets"], lambda: (X, Y)),
    "labels": (
        lambda i: {"x": X[i], "labels": Y[i], "mask": X[i] > 0},
        ["inputs['mask']", "inputs['x']", "targets"],
        lambda: {"x": X, "labels": Y, "mask": X > 0},
    ),
    "label": (lambda i: {"x": X[i], "label": int(Y[i])}, ["inputs['x']", "targets"], lambda: {"x": X, "label": Y}),
    "mapping": (lambda i: UserDict(x=X[i], target=Y[i]), ["inputs['x']", "targets"], lambda: {"x": X, "target": Y}),
    "nest of targets": (
        lambda i: {"x": X[i], "targets": {"a": Y[i], "b": X[i]}},
        ["inputs['x']", "targets['a']", "targets['b']"],
        lambda: {"x": X, "targets": {"a": Y, "b": X}},
    ),
    "two labels": (
        lambda i: {"label": Y[i], "target": X[i]},
        ["inputs['label']", "inputs['target']"],
        lambda: {"label": Y, "target": X},
    ),
    "no labels": (lambda i: {"x": X[i]}, ["inputs['x']"], lambda: {"x": X}),
    "labels alone": (lambda i: {"labels": Y[i]}, ["inputs['labels']"], lambda: {"labels": Y}),
    "triple": (lambda i: (X[i], Y[i], 1.0), ["inputs[0]", "inputs[1]", "inputs[2]"], lambda: (X, Y, torch.ones(N))),
    "one of a tuple": (lambda i: (X[i],), ["inputs[0]"], lambda: (X,)),
    "tensor": (lambda i: X[i], ["inputs"], lambda: X),
    "number": (lambda i: float(X[i, 0]), ["inputs"], lambda: X[:, 0]),
    "nest": (
        lambda i: ({"a": (X[i], Y[i])}, X[i], {"b": Y[i]}),
        ["inputs[0]['a'][0]", "inputs[0]['a'][1]", "inputs[1]", "inputs[2]['b']"],
        lambda: ({"a": (X, Y)}, X, {"b": Y}),
    ),
}


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("way", ["dataset", "list", "loader", "iterable", "streamed"])
def test_samples_of_any_form_are_batches_of_that_form(kind: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, names, given = FORMS[kind]
    if way == "streamed":
        monkeypatch.setattr(batches, "_memory_left", lambda device: 0.0)
    samples: Any = Items(make)
    samples = {"list": [make(i) for i in range(N)], "loader": DataLoader(samples, batch_size=3)}.get(way, samples)
    found = batches_of((make(i) for i in range(N)) if way == "iterable" else samples, max_samples=N)
    assert found.samples == N
    whole = [batch.given for batch in found]
    assert [batch.samples for batch in found] == [8, 8, 4]
    assert list(next(iter(found)).named()) == names
    expected = given()
    for start, part in zip((0, 8, 16), whole, strict=True):
        index = slice(start, start + 8)
        assert type(part) is type(expected)
        assert equal(part, data.batch.at(expected, index))
    assert equal(found.at([3, 19]).given, data.batch.at(expected, [3, 19]))


WHOLE = ["pair", "labels", "nest of targets", "two labels", "no labels", "triple", "one of a tuple", "tensor", "nest"]


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("few", [None, 6])
def test_whole_splits_in_memory_are_those_of_their_samples(kind: str, few: int | None) -> None:
    make, names, given = FORMS[kind]
    found = batches_of(given(), max_samples=few)
    alone = batches_of(Items(make), max_samples=few)
    assert isinstance(found, Resident)
    assert [list(batch.named()) for batch in found] == [names] * len(list(found))
    for one, other in zip(found, alone, strict=True):
        assert equal(one.given, other.given)
    digests = [split_of(one, source="mine", max_samples=few).digest() for one in (given(), given(), Items(make))]
    assert digests[0] == digests[1]
    assert 4 <= mixed(found).samples <= 8
    assert list(mixed(found).named()) == names


def test_datasets_of_one_or_three_tensors_are_taken_whole() -> None:
    one, three = batches_of(TensorDataset(X)), batches_of(TensorDataset(X, Y, X))
    assert equal(one.whole.given, (X,))
    assert equal(three.whole.given, (X, Y, X))
    with pytest.raises(InputError, match=r"mine: inputs\[2\] holds numbers that are not finite"):
        split_of(TensorDataset(X, Y, X / 0), source="mine")


def test_a_dict_of_tensors_is_one_split_and_any_other_is_of_splits() -> None:
    ids = np.ones((N, 2), dtype=int)
    for one in ({"ids": ids, "labels": Y}, {"ids": [[1, 2]], "labels": [0]}, UserDict(ids=ids, more={"a": ids})):
        assert list(by_split(one)) == ["train"]
    for several in ({"train": (X, Y), "test": PAIRS}, {"a": {"ids": ids}}, {"train": (X,), "test": [(X[0], 0)]}):
        assert list(by_split(several)) == list(several)
    assert list(by_split((X, Y))) == ["train"]


def loss_at_zero(model: nn.Module, index: Any = slice(None)) -> float:
    with torch.no_grad():
        scores = model.double()(X.double()[index])
    model.float()
    return float(F.cross_entropy(scores, Y[index]))


class ByName(nn.Module):
    """A perceptron that takes its input by name."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = a_perceptron(3, 4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


@pytest.mark.parametrize(
    "given",
    [
        lambda: {"x": X, "labels": Y},
        lambda: UserDict(x=X.numpy(), label=Y.numpy()),
        lambda: [{"x": X[i], "label": int(Y[i])} for i in range(N)],
        lambda: DataLoader(Items(lambda i: {"x": X[i], "target": Y[i]}), batch_size=3),  # type: ignore[arg-type]
        lambda: {"train": {"x": X, "labels": Y}},
    ],
)
def test_samples_by_name_have_the_loss_of_a_slow_loop(given: Any) -> None:
    model = ByName()
    surface = lossgrid.evaluate(model, given(), alpha=(-1, 1, 3))
    assert surface["train_loss"][1] == pytest.approx(loss_at_zero(model.inner), rel=1e-6)


def test_plain_tensors_have_the_bits_of_all_other_ways() -> None:
    model = a_perceptron(3, 4, 2)
    expected = lossgrid.evaluate(model, (X, Y), alpha=(-1, 1, 3))["train_loss"]
    ways = (PAIRS, DataLoader(PAIRS, batch_size=7), list(PAIRS), Told(N), DataLoader(Told(N), batch_size=7))
    for given in ways:
        np.testing.assert_array_equal(lossgrid.evaluate(model, given, alpha=(-1, 1, 3))["train_loss"], expected)


@pytest.mark.parametrize("loss", ["cross_entropy", lambda outputs, targets: outputs.mean(dim=1)])
@pytest.mark.parametrize("kind", ["no labels", "triple", "tensor", "two labels"])
def test_a_loss_asks_for_targets(kind: str, loss: Any) -> None:
    with pytest.raises(InputError, match=r"loss needs targets.* split 'train' have none.* or give step package"):
        lossgrid.evaluate(a_perceptron(3, 2), FORMS[kind][2](), loss=loss, alpha=(-1, 1, 3))


# DataLoaders


@pytest.mark.parametrize(
    ("options", "index"),
    [
        ({}, range(N)),
        ({"batch_size": 7, "num_workers": 0, "pin_memory": False}, range(N)),
        ({"collate_fn": default_collate}, range(N)),
        ({"sampler": [3, 1, 4, 1]}, [3, 1, 4, 1]),
        ({"sampler": Backwards()}, range(N - 1, -1, -1)),
        ({"sampler": SequentialSampler(range(5))}, range(5)),
        ({"batch_sampler": BatchSampler(SequentialSampler(PAIRS), 6, drop_last=False)}, range(N)),
        ({"batch_sampler": BatchSampler(Backwards(), 6, drop_last=False)}, range(N - 1, -1, -1)),
        ({"batch_sampler": [[2, 5], [7], [0, 11]]}, [2, 5, 7, 0, 11]),
        ({"sampler": DistributedSampler(PAIRS, num_replicas=1, rank=0, shuffle=False)}, range(N)),
    ],
)
def test_a_loader_is_read_in_the_order_of_its_sampler(options: dict[str, Any], index: Any) -> None:
    found = batches_of(DataLoader(PAIRS, **options))
    assert isinstance(found, Resident)
    assert equal(found.whole.given, (X[list(index)], Y[list(index)]))
    few = batches_of(DataLoader(PAIRS, **options), max_samples=3)
    assert torch.equal(few.inputs, X[[list(index)[i] for i in spread(len(index), 3)]])


def test_a_subset_in_a_loader_is_a_subset() -> None:
    assert torch.equal(batches_of(DataLoader(Subset(PAIRS, [4, 2]), batch_size=2)).inputs, X[[4, 2]])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shuffle": True}, "in random order; give it shuffle=False, or give its .dataset"),
        ({"sampler": SubsetRandomSampler([1, 2])}, "in random order"),
        ({"sampler": WeightedRandomSampler([1.0] * N, N)}, r"draws its samples by weight.*the pair \(total, weight\)"),
        ({"sampler": Drawn()}, "the sampler Drawn gives another order each time it is read; give it shuffle=False"),
        ({"batch_sampler": BatchSampler(Drawn(), 4, drop_last=False)}, "the sampler Drawn gives another order"),
        ({"batch_sampler": BatchSampler(SubsetRandomSampler([1, 2]), 1, drop_last=False)}, "in random order"),
        ({"sampler": Endless()}, "the sampler Endless does not end"),
        ({"sampler": DistributedSampler(PAIRS, num_replicas=2, rank=0)}, "takes a part of the samples for each"),
        ({"batch_size": None}, "batch_size=None, so that its Dataset makes the batches.*give a Dataset of single"),
        ({"sampler": []}, "the Dataset is empty"),
        ({"sampler": [3, 99]}, "reading sample 99 raised IndexError"),
    ],
)
def test_loaders_in_no_fixed_order_are_one_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        batches_of(DataLoader(Items(lambda i: (X[i], Y[i])), **options))
    assert "\n" not in str(caught.value)


def test_what_a_loader_says_in_vain_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert batches_of(DataLoader(PAIRS, batch_size=8, drop_last=True)).samples == N
        assert "mine: drop_last of the DataLoader is ignored: all samples count" in caplog.text
        caplog.clear()
        assert batches_of(DataLoader(PAIRS, batch_size=5, drop_last=True)).samples == N
        assert "drop_last" not in caplog.text
        assert batches_of(DataLoader(PAIRS, batch_size=5, num_workers=1)).samples == N
        assert "num_workers of the DataLoader is ignored" in caplog.text


def test_a_loader_of_random_samples_is_refused() -> None:
    loader = DataLoader(Items(lambda i: (torch.rand(3), 0)), batch_size=4)
    with pytest.raises(InputError, match="gives other values each time sample 0 is read; switch random augmentation"):
        batches_of(loader)
    masked = DataLoader(Items(lambda i: (X[i], torch.rand(()))), batch_size=4)
    with pytest.raises(InputError, match="other values each time sample 0"):
        batches_of(masked)


def test_a_collate_function_beside_a_loader_comes_first() -> None:
    loader = DataLoader(PAIRS, batch_size=4, collate_fn=lambda pairs: pairs[0])
    found = batches_of(loader, collate=lambda pairs: [2 * part for part in default_collate(pairs)])
    assert torch.equal(torch.cat([batch.inputs for batch in found]), 2 * X)


# iterables


@pytest.mark.parametrize(
    "given",
    [lambda: Told(N), lambda: DataLoader(Told(N), batch_size=3), lambda: list(PAIRS), lambda: tuple_of(PAIRS)],
)
def test_an_iterable_with_a_length_is_read_once_in_order(given: Any) -> None:
    assert equal(batches_of(given()).whole.given, (X, Y))
    few = spread(N, 6)
    assert equal(batches_of(given(), max_samples=6).whole.given, (X[few], Y[few]))


def tuple_of(pairs: Any) -> Any:
    class Counted:
        def __len__(self) -> int:
            return len(pairs)

        def __iter__(self) -> Iterator[Any]:
            return iter(pairs)

    return Counted()


def test_an_iterable_without_a_length_gives_its_first_samples(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert equal(batches_of(Flow(), max_samples=6).whole.given, (X[:6], Y[:6]))
    assert "mine: the first 6 samples of a Flow without a length" in caplog.text
    assert batches_of(DataLoader(Flow(), batch_size=4), max_samples=99).samples == N
    forever = ((X[0], 0) for _ in iter(int, 1))
    assert batches_of(forever, max_samples=3).samples == 3


@pytest.mark.parametrize(
    ("given", "few", "words"),
    [
        (lambda: Flow(), None, "a Flow has no length; give --max-samples N, or a list of its samples"),
        (lambda: DataLoader(Flow()), None, "a Flow has no length"),
        (lambda: (one for one in PAIRS), None, "a generator has no length"),
        (lambda: DataLoader(Told(N), batch_size=None), None, "batch_size=None"),
        (lambda: Told(N + 1), None, f"the length of the Told is {N + 1}, but it gives {N} samples"),
        (lambda: Told(N - 1), None, f"the length of the Told is {N - 1}, but it gives more samples"),
        (lambda: Told(N, 3), 6, f"the length of the Told is {N}, but it gives 3 samples"),
        (lambda: iter(()), 3, "gives no samples; one that can be read only once must be made anew"),
        (
            lambda: (X[:, i] if i < 2 else X[0] for i in range(3)),
            3,
            r"different shape: \(20,\) and \(3,\) \(sample 2\)",
        ),
        (lambda: (1 // (3 - i) for i in range(9)), 9, "reading sample 3 raised ZeroDivisionError"),
        (lambda: ((X[0], "cat") for _ in range(2)), 2, "sample 0: expected tensors or arrays of numbers, got a str"),
        (lambda: (X[0] / i for i in range(2)), 2, "the inputs hold numbers that are not finite"),
    ],
)
def test_iterables_that_cannot_be_read_are_one_line(given: Any, few: int | None, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        batches_of(given(), max_samples=few)
    assert "\n" not in str(caught.value)


def test_pictures_are_to_be_converted() -> None:
    picture = pytest.importorskip("PIL.Image", reason="NOT RUN: needs Pillow").new("RGB", (3, 2))
    with pytest.raises(
        InputError, match=r"sample 0: .* convert pictures to tensors, such as by torchvision's ToTensor"
    ):
        split_of([(picture, 0)] * 3, source="mine")
    with pytest.raises(InputError, match="got Image as sample 0; convert it in the Dataset or in collate_fn"):
        split_of([picture] * 3, source="mine")
