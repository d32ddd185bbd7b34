import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset

from lossgrid import data
from lossgrid.data import split_of
from lossgrid.errors import InputError
from lossgrid.readers import cifar10
from lossgrid.readers.digits import Digits
from lossgrid.readers.spread import spread


@pytest.mark.slow
@pytest.mark.parametrize("has_table", [True, False])
def test_digits_are_those_of_scikit_learn(has_table: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_table:  # a version that keeps them elsewhere
        monkeypatch.setattr(
            "lossgrid.readers.digits.find_spec", lambda _: SimpleNamespace(submodule_search_locations=[])
        )
    from sklearn.datasets import load_digits  # takes seconds

    bunch = load_digits()
    for split, start, step in (("train", None, None), ("test", 4, 5)):
        pictures, classes = Digits().read(split)
        chosen = np.arange(len(bunch.target)) % 5 != 4 if start is None else slice(start, None, step)
        np.testing.assert_array_equal(pictures[:, 0], (bunch.images[chosen] / 16).astype(np.float32))
        np.testing.assert_array_equal(classes, bunch.target[chosen])


def test_digits_need_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossgrid.readers.digits.find_spec", lambda _: None)
    with pytest.raises(InputError, match="--data digits needs scikit-learn"):
        data.load("digits", {}, splits=("train",))


def test_digits_are_split_and_scaled() -> None:
    splits = data.load("digits", {}, splits=("train", "test"))
    assert (splits["train"].samples, splits["test"].samples) == (1438, 359)
    inputs, targets = splits["train"].tensors or ()
    assert inputs.shape == (1438, 1, 8, 8)
    assert inputs.dtype == torch.float32
    assert (float(inputs.min()), float(inputs.max())) == (0.0, 1.0)
    assert targets.unique().tolist() == list(range(10))
    assert data.facts(splits) == {"in_channels": 1, "in_features": 64, "num_classes": 10}


def test_few_samples_are_spread_over_each_split() -> None:
    few = data.load("digits", {}, splits=("train", "test"), max_samples=3)
    every = data.load("digits", {}, splits=("test",))
    assert few["test"].samples == 3
    assert torch.equal(few["test"].tensors[0], every["test"].tensors[0][spread(359, 3)])  # type: ignore[index]
    assert data.facts(few)["num_classes"] == 10


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, 3072), dtype=np.uint8), generator.integers(0, 10, count)


@pytest.fixture(params=["binary", "python"])
def cifar(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A data set of a few pictures in one of the published layouts."""
    folder = tmp_path / cifar10.SUBFOLDERS["bin" if request.param == "binary" else "py"]
    folder.mkdir()
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for seed, name in enumerate(names):
        pixels, labels = pictures(4, seed)
        if request.param == "binary":
            records = np.concatenate([labels[:, None].astype(np.uint8), pixels], axis=1)
            (folder / f"{name}.bin").write_bytes(records.tobytes())
        else:
            (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": labels.tolist()}, protocol=2))
    return tmp_path


@pytest.mark.parametrize("normalize", ["li", "imagenet", "none"])
def test_cifar_is_the_same_in_both_layouts(cifar: Path, normalize: str) -> None:
    split = data.load(f"cifar10:{cifar}", {"normalize": normalize}, splits=("train",))["train"]
    inputs, targets = split.tensors or ()
    assert inputs.shape == (20, 3, 32, 32)
    pixels, labels = pictures(4, seed=2)  # of the third batch
    mean, deviation = cifar10.NORMALISATIONS[normalize]
    expected = (pixels[1, 1024 + 5 * 32 + 7] / 255 - mean[1]) / deviation[1]  # green, row 5, column 7
    assert float(inputs[9, 1, 5, 7]) == pytest.approx(expected, abs=1e-5)
    assert targets[8:12].tolist() == labels.tolist()


def test_the_normalisation_of_the_paper_is_that_of_the_data() -> None:
    """Mean and deviation of CIFAR-10's 50,000 training pictures, as is widely published."""
    mean, deviation = cifar10.NORMALISATIONS["li"]
    np.testing.assert_allclose(mean, (0.4914, 0.4822, 0.4465), rtol=1e-3)
    np.testing.assert_allclose(deviation, (0.2470, 0.2435, 0.2616), rtol=1e-3)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_batches_written_again_by_newer_pythons_are_read(tmp_path: Path, protocol: int) -> None:
    pixels, labels = pictures(4, 0)
    (tmp_path / "test_batch").write_bytes(pickle.dumps({"data": pixels, "labels": labels}, protocol=protocol))
    split = data.load(f"cifar10:{tmp_path}", {"normalize": "none"}, splits=("test",))["test"]
    np.testing.assert_allclose(split.tensors[0].flatten(1), pixels / 255, rtol=1e-6)  # type: ignore[index]


def test_cifar_keeps_few_pictures_of_all_batches(cifar: Path) -> None:
    few = data.load(f"cifar10:{cifar}", {}, splits=("train",), max_samples=7)["train"]
    every = data.load(f"cifar10:{cifar}", {}, splits=("train",))["train"]
    assert few.samples == 7
    for part, whole in zip(few.tensors, every.tensors, strict=True):  # type: ignore[arg-type]
        assert torch.equal(part, whole[spread(20, 7)])


def test_cifar_found_in_the_folder_itself(cifar: Path) -> None:
    (inner,) = cifar.iterdir()
    assert data.load(f"cifar10:{inner}", {}, splits=("test",))["test"].samples == 4


def test_real_cifar_pictures(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    for layout in ("binary", "python"):
        os.system(
            f"{sys.executable} {shared}/cifar10/unpack.py {tmp_path}/{layout} --layout {layout} --train 50 --test 30 "
            "> /dev/null"
        )
    loaded = [
        data.load(f"cifar10:{tmp_path}/{layout}", {}, splits=("train", "test")) for layout in ("binary", "python")
    ]
    for split, count in (("train", 50), ("test", 30)):
        assert loaded[0][split].samples == count
        assert loaded[0][split].digest() == loaded[1][split].digest()
        assert torch.bincount(loaded[0][split].tensors[1]).tolist() == [count // 10] * 10  # type: ignore[index]


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Hostile(), protocol=2),
        pickle.dumps({"data": Hostile(), "labels": [1]}, protocol=4),
        b"cos\nsystem\n(S'touch pwned'\ntR.",
        b"cnumpy.core.multiarray\nscalar\n.",
        b"c_codecs\nencode\n(Vabc\nVzip\ntR.",
    ],
)
def test_forged_batches_run_nothing(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(InputError, match="asks for"):
        data.load(f"cifar10:{tmp_path}", {}, splits=("test",))
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "batch",
    [
        {"labels": [1]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [1]},
        {"data": np.zeros((1, 3071), np.uint8), "labels": [1]},
        {"data": np.zeros((1, 3072), np.float32), "labels": [1]},
        {"data": np.zeros((1, 3072), np.uint8), "labels": [10]},
        {"data": np.zeros((1, 3072), np.uint8), "labels": ["cat"]},
        [1, 2],
        3,
    ],
)
def test_damaged_python_batches_are_refused(batch: object, tmp_path: Path) -> None:
    (tmp_path / "test_batch").write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(InputError, match="test_batch is damaged"):
        data.load(f"cifar10:{tmp_path}", {}, splits=("test",))


@pytest.mark.parametrize("content", [b"", b"x" * 3072, bytes([10]) + b"x" * 3072])
def test_damaged_binary_batches_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "test_batch.bin").write_bytes(content)
    with pytest.raises(InputError, match=r"test_batch\.bin is damaged"):
        data.load(f"cifar10:{tmp_path}", {}, splits=("test",))


@pytest.mark.parametrize(
    ("name", "args", "split", "words"),
    [
        ("digit", {}, "train", "did you mean digits?"),
        ("cifar10", {}, "train", "did you mean cifar10:FOLDER?"),
        ("imagenet", {}, "train", "expected digits"),
        ("digits", {"normalize": "li"}, "train", "takes no arguments"),
        ("digits", {}, "validation", "train and test"),
        ("cifar10:/no/such/folder", {}, "train", "/no/such/folder holds neither"),
        ("cifar10:.", {"normalise": "li"}, "train", "takes normalize"),
        ("cifar10:.", {"normalize": "lee"}, "train", "expected li, imagenet, none, got 'lee'"),
        ("no_such_module:f", {}, "train", "no_such_module"),
    ],
)
def test_unknown_data_are_refused(name: str, args: dict[str, object], split: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        data.load(name, args, splits=(split,))
    assert words in str(caught.value)


@pytest.fixture
def users_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "users_data.py").write_text(
        "import numpy as np, torch\n"
        "from torch.utils.data import TensorDataset, IterableDataset\n"
        "def arrays(split, n=4):\n    return np.ones((n, 3), np.float32), np.arange(n) % 2\n"
        "def dataset(split):\n    return TensorDataset(torch.ones(5, 2, 6, 6), torch.arange(5))\n"
        "def regression(split):\n    return torch.ones(4, 3), torch.ones(4)\n"
        "def breaks(split):\n    raise KeyError(split)\n"
        "def uneven(split):\n    return torch.ones(4, 3), torch.ones(5)\n"
        "def empty(split):\n    return torch.ones(0, 3), torch.ones(0)\n"
        "def nothing(split):\n    return None\n"
        "def infinite(split):\n    return torch.full((4, 3), float('inf')), torch.ones(4)\n"
        "def words(split):\n    return ['a'], ['b']\n"
    )
    monkeypatch.chdir(tmp_path)
    yield "users_data"
    sys.modules.pop("users_data", None)


def test_users_functions_return_arrays_or_datasets(users_data: str) -> None:
    arrays = data.load(f"{users_data}:arrays", {"n": 6}, splits=("train",))
    assert data.facts(arrays) == {"in_features": 3, "num_classes": 2}
    assert arrays["train"].samples == 6
    dataset = data.load(f"{users_data}:dataset", {}, splits=("train", "anything"), max_samples=2)
    assert dataset["anything"].samples == 2
    assert dataset["train"].shape == (2, 6, 6)
    regression = data.load(f"{users_data}:regression", {}, splits=("train",))
    assert not regression["train"].classification
    assert "num_classes" not in data.facts(regression)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("breaks", "KeyError: 'train' (users_data.py:10)"),
        ("uneven", "shapes (4, 3) and (5,)"),
        ("empty", "n at least 1"),
        ("nothing", "got NoneType"),
        ("infinite", "not finite"),
        ("words", "tensors or arrays"),
        ("arrays2", "no function 'arrays2'"),
    ],
)
def test_users_functions_that_do_not_work_are_named(users_data: str, function: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        data.load(f"{users_data}:{function}", {}, splits=("train",))
    assert words in str(caught.value)
    assert f"{users_data}:{function}" in str(caught.value)
    assert "\n" not in str(caught.value)


class Items(Dataset[object]):
    def __init__(self, *items: object) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> object:
        item = self.items[i]
        return item() if callable(item) else item


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (Items(), "empty"),
        (Items("picture"), "expected tensors, arrays or numbers, or dicts and tuples of these, got str as sample 0"),
        (Items(("picture", 3)), "sample 0: expected tensors or arrays of numbers, got a str"),
        (Items((object(), 3)), "sample 0: expected tensors or arrays of numbers, got a object"),
        (Items(lambda: (torch.randn(3), 1)), "random augmentation"),
    ],
)
def test_datasets_that_cannot_be_used_are_refused(dataset: Dataset[object], words: str) -> None:
    with pytest.raises(InputError) as caught:
        split_of(dataset, source="mine")
    assert words in str(caught.value)


def test_datasets_without_a_length_are_refused() -> None:
    class Endless(IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            return iter([1])

    with pytest.raises(InputError, match="a Endless has no length; give --max-samples N, or a list of its samples"):
        split_of(Endless(), source="mine")


def test_digest_tells_samples_apart() -> None:
    inputs, targets = torch.randn(300, 4), torch.arange(300) % 3
    changed = inputs.clone()
    changed[-1, 0] += 1
    digests = {
        split_of(given, source="x").digest()
        for given in ((inputs, targets), (changed, targets), (inputs, 2 - targets), (inputs[:-1], targets[:-1]))
    }
    assert len(digests) == 4
    assert split_of((inputs, targets), source="x").digest() in digests


def test_a_dataset_names_its_classes() -> None:
    items = Items((torch.ones(3), 0), (torch.ones(3), 1))
    items.classes = ["a", "b", "c"]  # type: ignore[attr-defined]
    assert data.facts({"train": split_of(items, source="mine")}) == {"in_features": 3, "num_classes": 3}
