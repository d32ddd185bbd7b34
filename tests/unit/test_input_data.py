"""Data of other number types, of samples that do not fit, and of samples that stand for the set."""

from __future__ import annotations

import hashlib
import itertools
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lossgrid import data
from lossgrid.data import split_of
from lossgrid.errors import InputError
from lossgrid.readers import cifar10
from lossgrid.readers.spread import spread

X, Y = torch.rand(6, 3), torch.arange(6) % 3


def batches_of(given: Any, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    split = split_of(given, source="mine", **changes)
    return data.to_device(split, device=torch.device("cpu"), dtype=dtype, batch_size=4, channels_last=False)


@pytest.mark.parametrize(
    ("total", "count"), [(10, 10), (10, 7), (11, 10), (50_000, 2_000), (1797, 100), (5, 1), (3, 9)]
)
def test_samples_are_spread_one_in_each_part(total: int, count: int) -> None:
    chosen = spread(total, count)
    assert len(chosen) == min(total, count)
    assert all(a < b for a, b in itertools.pairwise(chosen))
    assert 0 <= chosen[0] <= chosen[-1] < total
    assert all(k * total // len(chosen) <= i < (k + 1) * total // len(chosen) for k, i in enumerate(chosen))


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("order", ["sorted", "in turns"])
def test_spread_samples_hold_all_classes_alike(order: str, classes: int) -> None:
    labels = np.arange(50_000) % classes
    labels = np.sort(labels) if order == "sorted" else labels
    counts = np.bincount(labels[spread(50_000, 20 * classes)], minlength=classes)
    assert counts.min() >= 15
    assert counts.max() <= 25


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64, np.int8, ">i4", ">u2"])
def test_classes_of_all_integer_types(dtype: Any) -> None:
    batches = batches_of((X, Y.numpy().astype(dtype)))
    assert torch.equal(batches.targets, Y)
    assert batches.targets.dtype == torch.int64


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
def test_tensors_of_unsigned_integers(dtype: torch.dtype) -> None:
    batches = batches_of((torch.arange(6).reshape(6, 1).to(dtype), Y.to(dtype)))
    assert batches.inputs.flatten().tolist() == list(range(6))
    assert torch.equal(batches.targets, Y)


@pytest.mark.parametrize("dtype", [np.float16, torch.float16, torch.bfloat16, torch.float8_e4m3fn, ">f4", ">f8"])
def test_real_inputs_of_all_types_are_exact(dtype: Any) -> None:
    numbers = torch.tensor([[0.5], [2.0], [-1.5]])
    given = numbers.to(dtype) if isinstance(dtype, torch.dtype) else numbers.numpy().astype(dtype)
    assert torch.equal(batches_of((given, Y[:3])).inputs, numbers)


def test_lists_of_numbers_keep_their_digits() -> None:
    batches = batches_of(([[1 / 3], [2 / 3]], [0.1, 0.2]), dtype=torch.float64)
    assert batches.inputs.flatten().tolist() == [1 / 3, 2 / 3]
    assert batches.targets.tolist() == [0.1, 0.2]


@pytest.mark.parametrize(("dtype", "there"), [(torch.float32, torch.complex64), (torch.float64, torch.complex128)])
def test_complex_inputs_and_targets_keep_their_imaginary_part(dtype: torch.dtype, there: torch.dtype) -> None:
    numbers = torch.tensor([[1 + 2j], [3 - 4j]], dtype=torch.complex128)
    batches = batches_of((numbers, numbers[:, 0]), dtype=dtype)
    assert torch.equal(batches.inputs, numbers.to(there))
    assert torch.equal(batches.targets, numbers[:, 0].to(there))


def test_truth_values_are_0_and_1() -> None:
    batches = batches_of((X > 0.5, Y > 0))
    assert torch.equal(batches.inputs, X > 0.5)
    assert torch.equal(batches.targets, (Y > 0).long())


@pytest.mark.parametrize(
    ("inputs", "targets", "words"),
    [
        (X.to_sparse(), Y, r"one that is sparse or nested; give tensor\.to_dense"),
        (X, torch.ones(6).to_sparse(), "sparse or nested"),
        (torch.empty(6, 3, device="meta"), Y, "without values"),
        (X.numpy().astype(object), Y, "type object is none"),
        ([["a"], ["b"]], [0, 1], "type <U1 is none"),
        ([[1], [2, 3]], [0, 1], "got a list: "),
        (X, [{"a": 1}] * 6, "type object is none"),
        (np.zeros((6, 3), "datetime64[s]"), Y, r"type datetime64\[s\] is none"),
        (np.ma.masked_greater(X.numpy(), 0.1), Y, "masked"),
        ([np.ones(3), np.ones(4)], Y, r"of as many samples.* got inputs \(\(3,\), \(4,\)\) and targets \(6,\)"),
        (X, np.full(6, 2**63, np.uint64), r"expected integers below 2\*\*63, got 9223372036854775808"),
        (X, [2**70] * 6, "type object is none"),
        (X * float("nan"), Y, "the inputs hold numbers that are not finite"),
        (X, torch.full((6,), complex(0, float("inf"))), "the targets hold numbers that are not finite"),
    ],
)
def test_other_things_than_numbers_are_one_line(inputs: Any, targets: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        split_of((inputs, targets), source="mine")


@pytest.mark.parametrize(
    "given",
    [(X.double() * 1e300, Y), (X, X.double()[:, 0] * 1e300), (X.to(torch.complex128) * 1e300, Y)],
    ids=["x", "y", "complex"],
)
def test_numbers_too_large_for_the_precision_are_refused(given: Any) -> None:
    with pytest.raises(InputError, match=r"too large for (float32|complex64); scale them or give --precision float64"):
        batches_of(given)
    assert batches_of(given, dtype=torch.float64).samples == 6


def test_rounding_the_data_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        batches_of((X.double() / 3, Y))
        assert "mine: the inputs are rounded to float32; --precision float64 keeps all digits" in caplog.text
        caplog.clear()
        batches_of((X.double(), Y))
    assert not caplog.text


@pytest.mark.parametrize("max_samples", [None, 3])
def test_samples_of_one_class_are_told_of(max_samples: int | None, caplog: pytest.LogCaptureFixture) -> None:
    split_of((X, torch.full((6,), 2)), source="mine", max_samples=max_samples)
    assert f"mine: all {max_samples or 6} samples are of class 2, and stand for no other" in caplog.text
    caplog.clear()
    split_of((X, Y), source="mine", max_samples=3)
    split_of((X, Y), source="mine", max_samples=1)
    split_of((X, X), source="mine")
    assert not caplog.text


class Samples(Dataset[Any]):
    """Samples that a function makes of their number."""

    def __init__(self, make: Any, count: int = 100) -> None:
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


def test_a_dataset_of_one_class_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    batches_of(Samples(lambda i: (torch.ones(2), 7)))
    assert "mine: all 100 samples are of class 7" in caplog.text


def test_few_samples_of_a_dataset_are_spread() -> None:
    batches = batches_of(Samples(lambda i: (torch.ones(2), i)), max_samples=7)
    assert batches.targets.tolist() == spread(100, 7)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda i: (torch.ones(3 + i // 80), 0),
            r"inputs of different shape: \(3,\) and \(4,\) \(sample 80\); pad them, or",
        ),
        (
            lambda i: (torch.ones(3), torch.ones(1 + i // 80)),
            r"targets of different shape: \(1,\) and \(2,\) \(sample 80\)",
        ),
        (
            lambda i: (torch.ones(3), 0 if i < 80 else 0.5),
            "int64 numbers, sample 80 has .* of real numbers; pad or conv",
        ),
        (lambda i: (torch.ones(3, dtype=torch.uint8 if i < 80 else None), 0), "of uint8 numbers.*of real numbers"),
        (lambda i: (torch.ones(3), [0][i // 80]), "reading sample 80 raised IndexError: list index out of range"),
        (lambda i: (torch.ones(3), 0) if i < 80 else None, "got NoneType as sample 80"),
        (
            lambda i: (torch.ones(3), 0) if i < 80 else (torch.ones(3), 0, 0),
            r"the first has inputs .*, sample 80 has inputs\[0\] ",
        ),
        (
            lambda i: (torch.ones(3), 0 if i < 80 else "cat"),
            "sample 80: expected tensors or arrays of numbers, got a str",
        ),
        (
            lambda i: (torch.full((3,), float("nan" if i == 80 else 1)), 0),
            "the inputs hold numbers that are not finite",
        ),
        (lambda i: (torch.ones(3), float("inf") if i == 80 else 1.0), "the targets hold numbers that are not finite"),
        (lambda i: (torch.full((3,), 1e300 if i == 80 else 1.0, dtype=torch.float64), 0), "not finite as float32"),
    ],
)
@pytest.mark.parametrize("kept", [True, False])
def test_later_samples_that_do_not_fit_are_named(make: Any, words: str, kept: bool) -> None:
    dataset = Samples(make)
    if kept:
        with pytest.raises(InputError, match=words):
            batches_of(dataset)
    elif "not finite" not in words:
        with pytest.raises(InputError, match=words):
            split_of(dataset, source="mine").read(range(76, 84))


def test_samples_keep_the_numbers_they_have_in_the_users_dataset() -> None:
    split = split_of(Samples(lambda i: (torch.ones(3), [0][i // 91])), source="mine", max_samples=10)
    with pytest.raises(InputError, match=f"reading sample {spread(100, 10)[9]} raised IndexError"):
        split.read(range(10))


def test_the_digest_names_a_sample_that_cannot_be_read() -> None:
    with pytest.raises(InputError, match="reading sample 1 raised"):
        split_of(Samples(lambda i: (torch.ones(3), [0][i])), source="mine").digest()


def test_arrays_of_numpy_are_inputs_of_samples() -> None:
    batches = batches_of(Samples(lambda i: (np.full(3, i, np.float32), np.int64(i))))
    assert batches.inputs[:, 0].tolist() == batches.targets.tolist() == list(range(100))


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (DataLoader(Samples(lambda i: (X, 0)), shuffle=True), "in random order; give it shuffle=False, or give its"),
        (Endless(), "a Endless has no length; give --max-samples N, or a list of its samples"),
        ({"train": (X, Y), "test": (X, Y)}, "one split, got a dict without tensors of train, test"),
        (torch.tensor(3.0), "expected samples, got a single number"),
        (3, "a DataLoader, a Dataset with a length, or an iterable of samples, got int"),
        ("digits", "an iterable of samples, got str"),
    ],
)
def test_what_is_no_data_is_told_how_to_become_some(given: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        split_of(given, source="mine")


def test_a_length_that_cannot_be_told_is_one_line() -> None:
    dataset = Samples(lambda i: (X, 0))
    dataset.count = -1
    with pytest.raises(InputError, match="raised ValueError: __len__"):
        split_of(dataset, source="mine")


def write_batch(folder: Path, name: str, count: int, layout: str) -> bytes:
    generator = np.random.default_rng(count)
    pixels = np.broadcast_to(generator.integers(0, 256, 3072, dtype=np.uint8), (count, 3072))
    labels = np.arange(count) % 10
    if layout == "binary":
        content = np.hstack([labels[:, None].astype(np.uint8), pixels]).tobytes()
    else:
        content = pickle.dumps({"data": np.array(pixels), "labels": labels.tolist()}, protocol=2)
    (folder / (f"{name}.bin" if layout == "binary" else name)).write_bytes(content)
    return content


@pytest.mark.parametrize("layout", ["binary", "python"])
def test_a_part_of_cifar_is_told_of(layout: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_batch(tmp_path, "test_batch", 9_999, layout)
    assert data.load(f"cifar10:{tmp_path}", {}, splits=("test",), max_samples=5)["test"].samples == 5
    assert "is a part of CIFAR-10: each batch has 10000 pictures, here test_batch 9999" in caplog.text


def test_other_pixels_than_the_published_are_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = write_batch(tmp_path, "test_batch", 10_000, "python")
    data.load(f"cifar10:{tmp_path}", {}, splits=("test",), max_samples=5)
    assert "holds other bytes than the published CIFAR-10 in test_batch" in caplog.text
    caplog.clear()
    monkeypatch.setitem(cifar10.PUBLISHED, "test_batch", hashlib.md5(content).hexdigest())
    data.load(f"cifar10:{tmp_path}", {}, splits=("test",), max_samples=5)
    assert not caplog.text


def test_a_batch_without_end_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "test_batch.bin").open("wb") as stream:
        stream.truncate(3073 * 100_000)  # a hole
    with pytest.raises(InputError, match="a batch has no more than"):
        data.load(f"cifar10:{tmp_path}", {}, splits=("test",))
