"""Batches whose inputs and targets are trees of tensors: read, named, cut, moved, digested."""

from __future__ import annotations

import logging
from collections import OrderedDict, UserDict
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from lossgrid import data
from lossgrid.data import Batch, batches, split_of
from lossgrid.data.batch import count, cut, divided, equal, named, nbytes, stack
from lossgrid.data.batches import Resident, Stream, Transfer
from lossgrid.data.mixed import mixed
from lossgrid.errors import InputError

CPU = torch.device("cpu")
N = 11
IDS, MASK, AGE = torch.arange(3 * N).reshape(N, 3), torch.arange(3 * N).reshape(N, 3) % 4 > 0, torch.arange(N) / 7
LABELS = torch.arange(N) % 3
TREE = {"ids": IDS, "more": (MASK, AGE)}
NAMES = ["inputs['ids']", "inputs['more'][0]", "inputs['more'][1]", "targets"]


def batches_of(given: Any, dtype: torch.dtype = torch.float32, size: int = 4, **changes: Any) -> Any:
    split = split_of(given, source="mine", **changes)
    return data.to_device(split, device=CPU, dtype=dtype, batch_size=size, channels_last=True)


class Samples(Dataset[Any]):
    """Samples that a function makes of their number."""

    def __init__(self, make: Any, count: int = N) -> None:
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


def one_by_one() -> Samples:
    return Samples(lambda i: ({"ids": IDS[i], "more": [MASK[i].numpy(), float(AGE[i])]}, int(LABELS[i])))


def test_a_batch_is_taken_apart_cut_and_put_together() -> None:
    whole = Batch(TREE, LABELS)
    inputs, targets = whole
    assert (inputs is TREE, targets is LABELS, whole.samples, count(TREE)) == (True, True, N, N)
    assert list(whole.named()) == NAMES
    assert [len(leaf) for leaf in whole.leaves] == [N] * 4
    assert nbytes(TREE) == 8 * 3 * N + 3 * N + 4 * N
    sizes = [batch.samples for batch in whole.cut(4)]
    assert sizes == [4, 4, 3]
    for number, part in enumerate(cut(TREE, 4)):
        assert equal(part, {"ids": IDS[4 * number :][:4], "more": (MASK[4 * number :][:4], AGE[4 * number :][:4])})
    assert [count(part) for part in divided(TREE, 2)] == [6, 5]
    assert equal(stack([whole.at(i).inputs for i in range(N)]), TREE)
    assert not equal(TREE, {"ids": IDS, "more": (MASK, AGE + 1)})
    assert not equal(TREE, {"ids": IDS, "less": (MASK, AGE)})


def test_one_tensor_stays_one_tensor() -> None:
    whole = Batch(IDS, LABELS)
    assert list(whole.named()) == ["inputs", "targets"]
    assert all(isinstance(part, torch.Tensor) for batch in whole.cut(4) for part in batch)
    assert torch.equal(torch.cat([batch.inputs for batch in whole.cut(4)]), IDS)


@pytest.mark.parametrize(
    "tree",
    [
        TREE,
        {"more": [MASK, AGE.tolist()], "ids": IDS.numpy()},
        OrderedDict(more=(MASK.numpy(), AGE), ids=IDS.tolist()),
        UserDict(ids=IDS, more=[MASK, AGE.numpy()]),
    ],
    ids=["tensors", "lists", "ordered", "mapping"],
)
def test_containers_and_the_order_of_names_make_no_difference(tree: Any) -> None:
    found = batches_of((tree, LABELS))
    assert list(named(found.inputs, "inputs")) == NAMES[:3]
    assert type(found.inputs) is dict
    assert type(found.inputs["more"]) is tuple
    first, *_ = found
    np.testing.assert_array_equal(first.inputs["ids"], IDS[:4])
    np.testing.assert_array_equal(first.inputs["more"][0], MASK[:4])
    np.testing.assert_allclose(first.inputs["more"][1], AGE[:4], rtol=1e-6)


def test_lists_of_lists_are_numbers_as_numpy_reads_them() -> None:
    rows = [[np.ones(3), np.zeros(3)], [np.ones(3), np.ones(3)]]
    assert batches_of((rows, [0, 1])).inputs.tolist() == np.asarray(rows).tolist()


def test_each_tensor_of_a_tree_has_its_own_type_there() -> None:
    targets = {"label": LABELS.to(torch.uint8), "counts": MASK, "weight": AGE.double()}
    found = batches_of((TREE, targets), dtype=torch.float64)
    kinds = [leaf.dtype for leaf in found.whole.leaves]
    assert kinds == [torch.int64, torch.bool, torch.float64, torch.bool, torch.int64, torch.float64]
    assert list(found.targets) == ["counts", "label", "weight"]


def test_pictures_in_a_tree_are_laid_out_for_convolutions() -> None:
    found = batches_of(({"picture": torch.rand(N, 3, 4, 4), "ids": IDS}, LABELS))
    assert found.inputs["picture"].is_contiguous(memory_format=torch.channels_last)


def test_a_dataset_of_trees_is_read_kept_and_streamed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    resident = batches_of((TREE, LABELS), dtype=torch.float64)
    kept = batches_of(one_by_one(), dtype=torch.float64)
    monkeypatch.setattr(batches, "_memory_left", lambda device: 0.0)
    streamed = batches_of(one_by_one(), dtype=torch.float64)
    assert [type(found) for found in (resident, kept, streamed)] == [Resident, Resident, Stream]
    for one, two, three in zip(resident, kept, streamed, strict=True):
        assert equal((one.inputs["ids"], one.targets), (two.inputs["ids"], two.targets))
        assert equal((*two.inputs["more"], two.targets), (*three.inputs["more"], three.targets))
    for found in (resident, kept, streamed):
        assert found.first(3).samples == 3
        assert found.ends()[0].samples == 4
        assert found.rebatched(5).batch_size == 5
        assert [batch.samples for batch in found.rebatched(5)] == [5, 5, 1]


def test_tensors_of_the_host_are_streamed_where_a_device_is_full() -> None:
    stream = Stream(split_of((TREE, LABELS), source="mine"), Transfer(CPU, torch.float32, False), 4)
    assert [batch.samples for batch in stream] == [4, 4, 3]
    assert equal(stream.first(20).inputs, batches_of((TREE, LABELS)).inputs)


@pytest.mark.parametrize("given", [lambda: (TREE, {"a": LABELS, "b": AGE}), lambda: (TREE, (AGE, AGE))])
def test_a_batch_of_samples_from_all_over_a_split_of_trees(given: Any) -> None:
    found = batches_of(given(), size=8)
    few = mixed(found)
    assert 4 <= few.samples <= 8
    if "a" in found.targets:  # the integers tell which samples differ
        assert set(few.targets["a"].tolist()) == {0, 1, 2}
    assert list(few.named()) == list(found.whole.named())
    rows = few.inputs["ids"][:, 0] // 3
    assert torch.equal(few.inputs["more"][0], MASK[rows])


def test_few_samples_of_a_tree_are_those_of_its_tensors() -> None:
    few = split_of((TREE, LABELS), source="mine", max_samples=4).tensors or ({}, ())
    alone = split_of((IDS, LABELS), source="mine", max_samples=4).tensors or ()
    assert torch.equal(few[0]["ids"], alone[0])
    read = split_of(one_by_one(), source="mine", max_samples=4).read(range(4))
    assert torch.equal(read.inputs["ids"], alone[0])


DIGESTS = {  # as they were when a batch was a pair of tensors: files are gone on with by them
    "tensors": "d5e7dcf291b659eab4593115ecd618ecbb6606236472b9087f3a09c61003a8c0",
    "arrays": "62d01175222224e87ed2e49d000e467c179775090d2cdc19242206a431c59c01",
    "real targets": "8b6c277e122ba1cb04136f69af6b49532db05efb3954d180d9b917117849ed3a",
    "few": "7b2844f0a050d4334e9e96f9c2eb902391455c4fee6c94bdb3c8d2850792cc98",
    "dataset": "2c2f23e98c969c4893e8b57ef60c574e632e8be86174cccd572aaa7cc70bbeae",
    "few of a dataset": "8cd3ffed7f72b3eb8c33c39c0ec03537e8c370609387c08f82c294463d2642c3",
    "dataset of tensors": "53b336202c0af50aef7012e6c2ddad38f69dce289c456be8e50b5c0f1459ce8a",
}


@pytest.mark.parametrize("kind", DIGESTS)
def test_digests_of_plain_pairs_are_what_they_were(kind: str) -> None:
    x, y = torch.arange(24.0).reshape(8, 3) / 7, torch.arange(8) % 3
    pairs = Samples(lambda i: (x[i], int(y[i])), 8)
    given = {
        "arrays": (x.numpy().astype("float64"), y.numpy().astype("uint8")),
        "real targets": (x, x),
        "dataset": pairs,
        "few of a dataset": pairs,
        "dataset of tensors": TensorDataset(x, y.int()),
    }.get(kind, (x, y))
    few = 5 if "few" in kind else None
    assert split_of(given, source="mine", max_samples=few).digest() == DIGESTS[kind]


def test_digests_tell_trees_apart_by_names_and_numbers() -> None:
    changed = {"ids": IDS, "more": (MASK, AGE + (torch.arange(N) == 10))}
    renamed = {"ids": IDS, "other": (MASK, AGE)}
    given = [(TREE, LABELS), (changed, LABELS), (renamed, LABELS), (TREE, {"y": LABELS}), (IDS, LABELS)]
    digests = {split_of(one, source="mine").digest() for one in given}
    assert len(digests) == len(given)
    again = ({"more": [MASK, AGE], "ids": IDS}, LABELS)
    assert split_of(again, source="mine").digest() in digests
    samples = split_of(one_by_one(), source="mine").digest()
    assert samples == split_of(one_by_one(), source="mine").digest() != split_of(given[0], source="mine").digest()


def test_a_transform_of_a_dataset_of_tensors_is_not_passed_over() -> None:
    class Doubled(TensorDataset):
        def __getitem__(self, i: int) -> Any:
            x, y = super().__getitem__(i)
            return 2 * x, y

    found = batches_of(Doubled(IDS.float(), LABELS))
    assert torch.equal(found.inputs, 2 * IDS.float())


def test_factories_are_told_nothing_of_several_inputs() -> None:
    split = split_of((TREE, LABELS), source="mine")
    assert data.facts({"train": split}) == {}
    assert (split.shape, split.classification, split.num_classes, split.names) == (None, True, 3, NAMES)
    assert split_of(one_by_one(), source="mine").names == NAMES


@pytest.mark.parametrize(
    ("inputs", "targets", "words"),
    [
        ({"a": IDS, "b": IDS[1:]}, LABELS, r"got inputs {'a': \(11, 3\), 'b': \(10, 3\)} and targets \(11,\)"),
        ({"a": IDS, "b": 3.0}, LABELS, r"'b': \(\)}"),
        ({"a": IDS}, LABELS[1:], r"and targets \(10,\); a list of samples goes as torch\.stack of it"),
        (IDS, {"y": LABELS[1:]}, r"got inputs \(11, 3\) and targets {'y': \(10,\)}"),
        ({"a": IDS[:0]}, LABELS[:0], "n at least 1"),
        ({"a": 1.0}, 2.0, "n at least 1"),
        ({"a": IDS, "b": AGE * float("nan")}, LABELS, r"inputs\['b'\] holds numbers that are not finite"),
        (IDS, (LABELS, AGE / 0), r"targets\[1\] holds numbers that are not finite"),
        ({"a": IDS, "b": None}, LABELS, r"inputs\['b'\]: expected tensors or arrays of numbers, got a NoneType"),
        ({"a": IDS, "b": ["x"] * N}, LABELS, r"inputs\['b'\]: expected .*, got a list: type <U1 is none"),
        ({"a": {"b": (IDS, "x")}}, LABELS, r"inputs\['a'\]\['b'\]\[1\]: expected .* got a str"),
        ({"a": IDS.to_sparse()}, LABELS, r"inputs\['a'\]: expected ordinary tensors, got one that is sparse"),
        ({}, LABELS, "expected tensors in inputs, got none"),
        ({"a": {}}, LABELS, r"expected tensors in inputs\['a'\], got none"),
        ({1: IDS}, LABELS, "expected names as keys of inputs, got 1"),
        ({"a\nb": IDS, "c": AGE / 0}, LABELS, r"inputs\['c'\] holds"),
    ],
)
def test_trees_that_cannot_be_used_are_one_line(inputs: Any, targets: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        split_of((inputs, targets), source="mine")
    assert "\n" not in str(caught.value)


def test_trees_within_themselves_are_refused() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(InputError, match="got too many brackets"):
        split_of((endless, LABELS), source="mine")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda i: ({"a": IDS[i], "b": torch.ones(2 + i // 9)}, 0),
            r"mine: inputs\['b'\] of different shape: \(2,\) and \(3,\) \(sample 9\); pad them, or give collate_fn",
        ),
        (lambda i: ({"a": IDS[i]} if i < 9 else {"b": IDS[i]}, 0), r"sample 9 has inputs\['b'\] \(3,\)"),
        (lambda i: ({"a": IDS[i]} if i < 9 else IDS[i], 0), r"sample 9 has inputs \(3,\)"),
        (lambda i: ({"a": IDS[i], "b": None if i == 9 else 1}, 0), r"sample 9: inputs\['b'\]: expected .* a NoneType"),
        (lambda i: ({"a": AGE[i] / (i != 9)}, 0), r"inputs\['a'\] holds numbers that are not finite as float32"),
        (lambda i: ({"a": torch.rand(3)}, 0), "other values each time sample 0 is read"),
        (
            lambda i: {"a": IDS[i], "labels": 0} if i < 9 else {"a": IDS[i], "label": 0},
            r"the first has .* as 'labels', sample 9 has .* as 'label'; pad or convert them",
        ),
    ],
)
def test_samples_of_a_dataset_that_do_not_fit_are_named(make: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        batches_of(Samples(make))
    assert "\n" not in str(caught.value)


def test_numbers_of_a_tree_that_lose_digits_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    tree = {"ids": IDS, "x": AGE.double() / 3}
    with caplog.at_level(logging.INFO):
        batches_of((tree, LABELS))
    assert "mine: inputs['x'] is rounded to float32; --precision float64 keeps all digits" in caplog.text
    with pytest.raises(InputError, match=r"inputs\['x'\] holds numbers too large for float32"):
        batches_of(({"ids": IDS, "x": AGE.double() * 1e300}, LABELS))
