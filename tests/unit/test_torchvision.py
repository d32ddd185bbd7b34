"""Data sets and networks of torchvision by name: values by slow references; what cannot be is refused in one line."""

from __future__ import annotations

import os
import pickle
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from lossgrid import data, models, readers, store
from lossgrid.errors import InputError
from lossgrid.settings import RunConfig, resolve
from lossgrid.surface import PENDING
from tests.conftest import Start
from tests.named import LINE, assert_values, of_picture, run

CHANCE = np.random.default_rng(2)
FAKE = ("--data", "torchvision:FakeData", "--data-arg", "size=18", "--data-arg", "image_size=[3,8,8]")


def with_torchvision() -> Any:
    reason = "needs torchvision: pip install 'lossgrid[vision]'"
    pytest.importorskip("torchvision", reason=reason, exc_type=ImportError)
    return pytest.importorskip("torchvision.datasets", reason=reason)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(name: str, split: str = "train", max_samples: int | None = None, **args: Any) -> data.Split:
    return data.load(f"torchvision:{name}", args, splits=(split,), max_samples=max_samples)[split]


def digits(root: Path, counts: dict[str, int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Write MNIST with random pictures as torchvision keeps it; return pictures and classes of each file."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    written = {}
    for name, count in counts.items():
        pictures = CHANCE.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 4).astype(np.uint8)
        sizes = np.array([count, 28, 28], ">i4").tobytes()
        (raw / f"{name}-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3]) + sizes + pictures.tobytes())
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1]) + sizes[:4] + labels.tobytes())
        written[name] = (pictures, labels)
    return written


@pytest.mark.parametrize("kind", ["--data", "--model"])
def test_torchvision_is_needed_only_where_it_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    name = "torchvision:CIFAR10" if kind == "--data" else "torchvision:resnet18"
    use = {
        "--data": lambda: data.load(name, {"root": "."}, splits=("train",)),
        "--model": lambda: models.build(name, {}, facts={}),
    }[kind]
    with pytest.raises(InputError, match=rf"^{kind} torchvision needs torchvision, which is not installed: pip"):
        use()


def test_samples_are_those_of_torchvision() -> None:
    datasets = with_torchvision()
    split = read("FakeData", size=12, image_size=[3, 6, 7], num_classes=5)
    expected = datasets.FakeData(12, (3, 6, 7), 5)
    inputs, targets = split.tensors or ()
    assert (inputs.dtype, targets.dtype, split.num_classes) == (torch.float32, torch.int64, 5)
    for i in range(12):
        picture, target = expected[i]
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).double() / 255
        torch.testing.assert_close(inputs[i].double(), pixels, rtol=1e-6, atol=1e-7)
        assert int(targets[i]) == target


def test_splits_are_those_of_torchvision_and_grey_pictures_stay_grey(tmp_path: Path) -> None:
    with_torchvision()
    written = digits(tmp_path, {"train": 12, "t10k": 7})
    for split, name in (("train", "train"), ("test", "t10k")):
        inputs, targets = read("MNIST", split, root=str(tmp_path)).tensors or ()
        pictures, labels = written[name]
        np.testing.assert_allclose(inputs[:, 0].numpy(), pictures / 255, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(targets.numpy(), labels)
    some = read("MNIST", max_samples=5, root=str(tmp_path))
    assert (some.samples, some.num_classes) == (5, 10)
    colours = read("MNIST", root=str(tmp_path), mode="rgb", crop=20, normalize=[[0.5] * 3, [0.25] * 3])
    assert colours.shape == (3, 20, 20)
    expected = (written["train"][0][0, 4:24, 4:24] / 255 - 0.5) / 0.25
    np.testing.assert_allclose((colours.tensors or ())[0][0, 1].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_pictures_are_resized_as_images_are() -> None:
    datasets = with_torchvision()
    transforms = pytest.importorskip("torchvision.transforms")
    inputs, _ = (
        read("FakeData", size=3, image_size=[3, 9, 12], resize=6, crop="4,5", normalize="imagenet").tensors or ()
    )
    change = transforms.Compose([transforms.Resize(6), transforms.CenterCrop((4, 5)), transforms.PILToTensor()])
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    for i, (picture, _) in enumerate(datasets.FakeData(3, (3, 9, 12))[k] for k in range(3)):
        torch.testing.assert_close(inputs[i], (change(picture) / 255 - mean) / deviation, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "split", "args", "words"),
    [
        ("CIFAR1", "train", {}, "has no data set 'CIFAR1'; did you mean CIFAR10 or CIFAR100?"),
        ("", "train", {}, "has no data set ''"),
        ("VisionDataset", "train", {"root": "."}, "has no data set 'VisionDataset'"),
        ("wrap_dataset_for_transforms_v2", "train", {}, "has no data set"),
        ("CIFAR10", "train", {}, "--data torchvision:CIFAR10 needs --data-arg root=FOLDER"),
        ("CIFAR10", "train", {"root": "no"}, "torchvision.datasets.CIFAR10(FOLDER, train=True, download=True) once"),
        ("CIFAR10", "val", {"root": "no"}, "--splits: torchvision:CIFAR10 has train and test, got 'val'"),
        ("CIFAR10", "train", {"download": True}, "--data-arg download: expected no function and no download"),
        ("CIFAR10", "train", {"train": False}, "no download, got 'train'; give --splits"),
        ("STL10", "val", {"root": "."}, "torchvision refuses split='val' (ValueError: Unknown value 'val'"),
        ("FakeData", "test", {}, "its samples are the split train, got 'test'"),
        ("FakeData", "train", {"sizes": 4}, "random_offset, got 'sizes'; did you mean size?"),
        ("FakeData", "train", {"transform": "x"}, "give resize, crop and normalize"),
        ("FakeData", "train", {"size": 0}, "split 'train' is empty"),
        ("FakeData", "train", {"size": 2, "image_size": "x"}, "sample 0 cannot be read (TypeError: "),
        ("FakeData", "train", {"size": 2, "crop": 500}, "sample 0: --data-arg crop: it has 224 x 224 pixels"),
        ("FakeData", "train", {"size": 2, "normalize": "x"}, "--data-arg normalize: expected none, imagenet or li"),
        ("EMNIST", "train", {"root": "."}, "--data torchvision:EMNIST needs --data-arg split=V"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_are_one_line(name: str, split: str, args: dict[str, Any], words: str) -> None:
    with_torchvision()
    with pytest.raises(InputError) as caught:
        read(name, split, **args)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("targets", ["text", "uneven", "none"])
def test_targets_that_are_no_numbers_are_one_line(targets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = with_torchvision()
    given = {"text": ["a", "b"], "uneven": [[1], [1, 2]], "none": [None, None]}[targets]

    class Odd(datasets.FakeData):
        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index)[0], given[index]

    monkeypatch.setattr(datasets, "FakeData", Odd)
    with pytest.raises(InputError, match=r"expected numbers of one shape as targets, got a \w+ in sample [01]; give a"):
        read("FakeData", size=2, image_size=[3, 4, 4])


def test_a_pickle_in_the_folder_is_read_as_data(tmp_path: Path) -> None:
    with_torchvision()
    touched = tmp_path / "touched"

    class Hostile:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(touched),)

    processed = tmp_path / "MNIST" / "processed"  # an old form, which torchvision reads with pickle
    processed.mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        torch.save(Hostile(), processed / name, pickle_module=pickle)
    with pytest.raises(InputError, match=r"torchvision:MNIST: it is not in .*, or damaged"):
        read("MNIST", root=str(tmp_path))
    assert not touched.exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_the_root_is_a_location_and_no_part_of_the_identity() -> None:
    args = {"model": "mlp", "data": "torchvision:MNIST"}
    one = resolve(RunConfig, args | {"data_arg": {"root": "a", "resize": 8}}).identity()
    two = resolve(RunConfig, args | {"data_arg": {"root": "b", "resize": 8}}).identity()
    assert one == two
    assert one["data_arg"] == {"resize": 8}
    assert readers.without_locations("mine:digits", {"root": "a"}) == {"root": "a"}


def test_a_module_of_the_user_with_the_name_of_a_data_set_is_said(caplog: pytest.LogCaptureFixture) -> None:
    Path("images.py").write_text("raise AssertionError('this is not read')")
    with pytest.raises(InputError, match="--data images:FOLDER: load cannot be read"):
        data.load("images:load", {}, splits=("train",))
    assert "--data images:load: images: is the data set of this name, and" in caplog.text
    assert caplog.text.count("images.py is not read; a module of yours needs another name") == 1


@pytest.mark.parametrize("variant", ["plain", "folded", "fused"])
def test_a_network_of_torchvision_on_its_data(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_torchvision()
    monkeypatch.setattr("lossgrid.evaluation.libraries.LEAST_WEIGHTS", 0)
    torch.manual_seed(1)
    model = models.build("torchvision:resnet18", {}, facts={"num_classes": 10})
    torch.save(model.state_dict(), "w.pt")
    named = ("--model", "torchvision:resnet18", "--checkpoint", "w.pt")
    assert run(*named, *FAKE, *LINE, "--variant", variant) == 0
    split = read("FakeData", size=18, image_size=[3, 8, 8])
    assert_values(model, zip(*(split.tensors or ()), strict=True), of_picture)
    origin = store.read(Path("s.h5")).origin
    assert (origin.recipe.variant, origin.weights) == (variant, "checkpoint")
    assert origin.versions["torchvision"] == version("torchvision")


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("resnet18x", {}, "has no network 'resnet18x'; did you mean resnet18 or"),
        ("resnet18", {"weights": "DEFAULT"}, "--model-arg weights: torchvision:resnet18 gets no weights by it"),
        ("fcn_resnet50", {"weights_backbone": "DEFAULT"}, "as lossgrid downloads nothing"),
        ("resnet18", {"bogus": 1}, "model torchvision:resnet18 raised TypeError: "),
    ],
)
def test_networks_that_cannot_be_are_one_line(name: str, args: dict[str, Any], words: str) -> None:
    with_torchvision()
    with pytest.raises(InputError) as caught:
        models.build(f"torchvision:{name}", args, facts={})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_network_with_a_backbone_is_made_without_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    with_torchvision()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    model = models.build("torchvision:lraspp_mobilenet_v3_large", {}, facts={"num_classes": 4}).eval()
    assert model(torch.rand(1, 3, 32, 32))["out"].shape == (1, 4, 32, 32)


def test_three_ranks_go_on_to_the_same_bits(start: Start, tmp_path: Path) -> None:
    with_torchvision()
    pytest.importorskip("timm", reason="needs timm: pip install 'lossgrid[vision]'", exc_type=ImportError)
    command = ("lossgrid", "run", "--model", "timm:test_resnet", *FAKE, "--alpha", "-1:1:9", "--out", tmp_path / "s.h5")
    first = start(3, *command)
    assert first.returncode == 0, first.stderr
    whole = store.read(tmp_path / "s.h5")["train_loss"]
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file["status"][1::2] = PENDING
        file["train_loss"][1::2] = np.nan
        file.attrs["complete"] = 0
    again = start(3, *command)
    assert again.returncode == 0, again.stderr
    np.testing.assert_array_equal(store.read(tmp_path / "s.h5")["train_loss"], whole)
