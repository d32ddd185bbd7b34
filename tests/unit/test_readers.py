"""Data sets that have a name: each is one module and one line of the registry; all else follows from it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from lossgrid import data, readers
from lossgrid.errors import InputError
from lossgrid.readers import READERS, Reader
from lossgrid.run.centre import warn_of_guessing
from lossgrid.settings import RunConfig, resolve
from lossgrid.surface.quantity import accuracy


@dataclass(frozen=True)
class Powers:
    """What a user might add: the numbers in a file, to some power."""

    name: str = "powers"
    location: str = "FILE"
    options: Mapping[str, Mapping[str, str]] = field(
        default_factory=lambda: {"normalize": {"mean": "default", "none": ""}, "power": {}}
    )
    splits: tuple[str, ...] = ("even", "odd")

    def read(
        self, split: str, *, location: str, max_samples: int | None, normalize: str = "mean", power: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.loadtxt(location)[:, None][split == "odd" :: 2] ** power
        return numbers - numbers.mean() if normalize == "mean" else numbers, np.arange(len(numbers)) % 3

    def classes(self, location: str) -> int:
        return 7

    def identity(self, location: str) -> str:
        return self.name


@pytest.fixture
def powers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Register it, and return the data as a user names them."""
    monkeypatch.setitem(READERS, "powers", Powers())
    np.savetxt(tmp_path / "numbers", np.arange(1.0, 13.0))
    return f"powers:{tmp_path / 'numbers'}"


def test_a_new_reader_takes_one_line(powers: str) -> None:
    reader: Reader = Powers()  # so mypy would say
    built_in = ["digits", "cifar10:FOLDER", "npz:FILE", "images:FOLDER", "torchvision:NAME"]
    assert readers.forms() == [*built_in, "powers:FILE", "package.module:function"]
    assert readers.form(reader) in readers.forms("pkg.mod:function")
    splits = data.load(powers, {"power": 2, "normalize": "none"}, splits=("even", "odd"), max_samples=3)
    inputs, targets = splits["odd"].tensors or ()
    assert set(inputs.flatten().tolist()) <= {4.0, 16.0, 36.0, 64.0, 100.0, 144.0}
    assert (inputs.dtype, targets.dtype, len(inputs)) == (torch.float64, torch.int64, 3)
    assert splits["even"].source == "data powers, split 'even'"
    assert data.facts(splits) == {"in_features": 1, "num_classes": 7}


def test_arguments_are_told_by_their_reader(powers: str) -> None:
    assert readers.about_options() == (
        "cifar10 takes normalize=li (default, the paper's), imagenet (akamaster's and torchvision's), none. "
        "images takes resize=N or H,W (N is the shorter side), crop=N or H,W (of the centre), mode=rgb (default), "
        "l (grey), normalize=none (default), imagenet (torchvision's), li (the paper's, of CIFAR-10), "
        "[MEANS,DEVIATIONS]. torchvision takes root=FOLDER, resize=V, crop=V, mode=V, normalize=none, imagenet, li, "
        "and the arguments of its class. powers takes normalize=mean (default), none, power=V."
    )


@pytest.mark.parametrize(
    ("name", "args", "split", "words"),
    [
        ("{powers}", {"exponent": 2}, "even", "--data-arg: powers takes normalize, power, got 'exponent'"),
        ("{powers}", {}, "train", "--splits: powers has even and odd, got 'train'"),
        ("powers", {}, "even", "got 'powers'; did you mean powers:FILE?"),
        ("power", {}, "even", "images:FOLDER, torchvision:NAME, powers:FILE, package.module:function, got 'power'"),
        ("digits:x", {}, "train", "importing digits raised ModuleNotFoundError"),
    ],
)
def test_what_a_reader_does_not_know_is_refused(
    powers: str, name: str, args: dict[str, object], split: str, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        data.load(name.format(powers=powers), args, splits=(split,))
    assert words in str(caught.value)


def test_where_data_lie_is_no_part_of_a_run(powers: str) -> None:
    def identity(name: str) -> dict[str, object]:
        return resolve(RunConfig, {"model": "mlp", "data": name}).identity()

    assert identity(powers) == identity("powers:elsewhere")
    assert identity(powers)["data"] == "powers"
    assert identity("cifar10:data")["data"] == identity("cifar10:")["data"] == "cifar10"
    assert identity("digits")["data"] == "digits"
    assert identity("users:powers")["data"] == "users:powers"  # a function: another one is another run
    assert identity("cifar10.mine:data")["data"] == "cifar10.mine:data"


def test_the_hint_at_the_centre_names_the_normalisations_there_are(
    powers: str, caplog: pytest.LogCaptureFixture
) -> None:
    def said(name: str) -> str:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            warn_of_guessing([accuracy("train")], [0.1], {"train": 100}, {"train": 10}, name)
        return caplog.text

    assert "as in its training (--data-arg normalize=li, imagenet or none)?" in said("cifar10:data")
    assert "as in its training (--data-arg normalize=mean or none)?" in said(powers)
    assert "as in its training?" in said("digits")
    assert "as in its training?" in said("users:pictures")
