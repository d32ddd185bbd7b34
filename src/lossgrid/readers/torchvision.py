"""The data sets of torchvision that are pictures with targets. They are read from a folder; nothing is downloaded."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError, did_you_mean, in_short, listed, shown
from lossgrid.machine.packages import load_package
from lossgrid.readers.location import path_of
from lossgrid.readers.normalisation import channels_of, normalised
from lossgrid.readers.pictures import EIGHT_BITS, Form, Pixels, pixels_of
from lossgrid.readers.reader import OTHERS, Options
from lossgrid.readers.spread import spread
from lossgrid.readers.stack import stacked

FORM = "torchvision:NAME"
TRAIN, TEST = "train", "test"
BOTH = {TRAIN: True, TEST: False}  # torchvision's argument ``train``
SPLITS = ("split", "image_set")  # torchvision's arguments that name a split
# Arguments that are functions, that --splits gives, or that download.
REFUSED = ("train", "transform", "target_transform", "transforms", "loader", "is_valid_file", "download")
GREY = frozenset({"1", "L"})  # modes of Pillow that are read as one channel
TARGETS = ("targets", "labels", "y")  # attributes of its data sets with the targets of all samples
MOST_ARGUMENTS = 12  # names an error lists

OPTIONS: Options = {
    "root": {"FOLDER": ""},
    "resize": {},
    "crop": {},
    "mode": {},
    "normalize": {"none": "", "imagenet": "", "li": ""},
    OTHERS: {"and the arguments of its class": ""},
}

Targets = npt.NDArray[Any]


@dataclass(frozen=True)
class Torchvision:
    """The data set with the name ``torchvision``.

    Attributes:
        known: Number of classes by location, of the data read so far.
    """

    name: str = "torchvision"
    location: str = "NAME"
    options: Options = field(default_factory=lambda: OPTIONS)
    splits: tuple[str, ...] = ()
    known: dict[str, int | None] = field(default_factory=dict, compare=False)

    def read(
        self,
        split: str,
        /,
        *,
        location: str,
        max_samples: int | None = None,
        resize: Any = None,
        crop: Any = None,
        mode: Any = None,
        normalize: Any = "none",
        **given: Any,
    ) -> tuple[npt.NDArray[np.float32], Targets]:
        """Return pictures ``(n, c, h, w)``, float32, normalised, and targets ``(n, ...)``.

        Args:
            split: ``train`` or ``test``, or the name of a split in torchvision.
            location: The name of a data set in torchvision.
            max_samples: Number of samples to read, spread evenly over the split; None for all.
            resize: As of ``images``.
            crop: As of ``images``.
            mode: ``rgb`` or ``l``; by default ``l`` for grey pictures.
            normalize: See :func:`lossgrid.readers.normalisation.channels_of`.
            given: Further arguments of the data set, such as ``root``.

        Raises:
            InputError: torchvision is not installed, or has no such data set; it is not in ``root``, or its samples are
                no pictures with targets that are numbers.
        """
        factory = _factory(location)
        dataset = _opened(factory, location, split, given)
        try:
            total = len(dataset)
        except Exception as error:  # of a data set that is none
            raise _error(location, f"it has no length ({_said(error)})") from None
        if not total:
            raise _error(location, f"split {split!r} is empty")
        chosen = spread(total, total if max_samples is None else max_samples)
        first, _ = _sample(dataset, chosen[0], location)
        form = Form.of(("l" if first.mode in GREY else "rgb") if mode is None else mode, resize, crop)
        channels = channels_of(normalize, form.channels)
        targets: list[Any] = []

        def read(i: int) -> Pixels:
            picture, target = _sample(dataset, chosen[i], location)
            targets.append(target)
            picture = picture.convert(form.pillow_mode)
            return pixels_of(picture, form, lambda fault: _error(location, f"sample {chosen[i]}: {fault}"))

        source, resized = f"torchvision:{location}", resize is not None
        pictures = stacked(len(chosen), read, lambda i: f"sample {chosen[i]}", data=source, resized=resized)
        self.known[location] = _classes(dataset)
        return normalised(pictures, channels), _stacked_targets(targets, chosen, location)

    def classes(self, location: str) -> int | None:
        """Return the number of classes of the data read last; None if the largest class among the targets decides."""
        return self.known.get(location)


def _factory(name: str) -> Any:
    """Return the class of a data set.

    Raises:
        InputError: torchvision is not installed, or has no data set of this name.
    """
    torchvision = load_package("torchvision", needed_by="--data torchvision", extra="vision")
    datasets = import_module("torchvision.datasets")
    base = datasets.VisionDataset
    found = {
        key: kind
        for key in datasets.__all__
        if isinstance(kind := getattr(datasets, key, None), type) and issubclass(kind, base) and kind is not base
    }
    if name not in found:
        raise InputError(
            f"--data {FORM}: torchvision {torchvision.__version__} has no data set {shown(repr(name))}"
            f"{did_you_mean(name, found, most=3) or '; its names are as in torchvision.datasets, such as CIFAR10'}"
        )
    return found[name]


def _parameters(factory: Any) -> dict[str, inspect.Parameter]:
    """Return the arguments of a class, with those that it hands on to its base classes."""
    found: dict[str, inspect.Parameter] = {}
    for kind in factory.__mro__:
        if "__init__" not in vars(kind):
            continue
        own = inspect.signature(kind).parameters.values()
        found |= {one.name: one for one in own if one.kind is not one.VAR_KEYWORD and one.name not in found}
        if not any(one.kind is one.VAR_KEYWORD for one in own):
            break
    return found


def _opened(factory: Any, name: str, split: str, given: Mapping[str, Any]) -> Any:
    """Return the data set of a split.

    Raises:
        InputError: The split or an argument is unknown or missing, or the data are not in ``root``.
    """
    parameters = _parameters(factory)
    takes = [key for key in parameters if key not in REFUSED]
    for key in given:
        if key in REFUSED:
            advice = "give --splits" if key == "train" else "give resize, crop and normalize; nothing is downloaded"
            raise InputError(f"--data-arg {key}: expected no function and no download, got {key!r}; {advice}")
        if key not in takes:
            raise InputError(
                f"--data-arg: torchvision:{name} takes resize, crop, mode, normalize, "
                f"{listed(takes, MOST_ARGUMENTS)}, got {key!r}{did_you_mean(key, takes)}"
            )
    arguments = _of_split(parameters, name, split, given) | dict(given)
    if "root" in given:
        arguments["root"] = path_of(str(given["root"]), data=FORM)
    if "download" in parameters:
        arguments["download"] = False
    empty = inspect.Parameter.empty
    missing = [key for key, one in parameters.items() if one.default is empty and key not in arguments]
    if missing:
        values = " ".join(f"--data-arg {key}={'FOLDER' if key == 'root' else 'V'}" for key in missing)
        raise InputError(f"--data torchvision:{name} needs {values}")
    keys = shown(", ".join(f"{key}={value!r}" for key, value in arguments.items() if key not in ("root", "download")))
    try:
        with _pickles_as_data():
            return factory(**arguments)
    except (TypeError, ValueError) as error:
        raise _error(name, f"torchvision refuses {keys} ({_said(error)})") from None
    except Exception as error:  # data that are missing or damaged can raise anything
        download = ", download=True" if "download" in arguments else ""
        where = f" in {shown(arguments['root'])}" if "root" in arguments else ""
        raise _error(
            name,
            f"it is not{where}, or damaged ({_said(error)}); lossgrid downloads nothing: run "
            f"torchvision.datasets.{name}(FOLDER, {keys}{download}) once, and give --data-arg root=FOLDER",
        ) from None


def _of_split(
    parameters: Mapping[str, Any], name: str, split: str, given: Mapping[str, Any]
) -> dict[str, Any]:  # fmt: skip
    """Return the argument that chooses the split.

    Raises:
        InputError: The data set has no such split.
    """
    if "train" in parameters:
        if split not in BOTH:
            raise InputError(f"--splits: torchvision:{name} has train and test, got {split!r}")
        return {"train": BOTH[split]}
    chooses = next((key for key in SPLITS if key in parameters), None)
    if chooses is not None and chooses not in given:
        return {chooses: split}
    if split != TRAIN:
        raise InputError(
            f"--splits: torchvision:{name} has no split of this name; its samples are the split train, got {split!r}"
        )
    return {}


@contextmanager
def _pickles_as_data() -> Iterator[None]:
    """Make torch read files as data, also where torchvision asks for pickles that can run code."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _sample(dataset: Any, index: int, name: str) -> tuple[Any, Any]:
    """Return picture and target of a sample.

    Raises:
        InputError: The sample is damaged, or has another form.
    """
    try:
        sample = dataset[index]
    except Exception as error:  # a damaged file can raise anything
        raise _error(name, f"sample {index} cannot be read ({_said(error)})") from None
    if not isinstance(sample, tuple) or len(sample) != 2 or not hasattr(sample[0], "convert"):
        kinds = [type(part).__name__ for part in sample] if isinstance(sample, tuple) else type(sample).__name__
        raise _error(
            name,
            f"expected samples (picture, target), got {kinds}; give a function of yours that returns tensors, "
            "package.module:function",
        )
    if sample[0].mode not in EIGHT_BITS:
        raise _error(name, f"sample {index}: its pixels are of Pillow's mode {sample[0].mode}; expected 8 bits")
    return sample


def _stacked_targets(targets: list[Any], chosen: list[int], name: str) -> Targets:
    """Return targets as one array, integers as int64.

    Raises:
        InputError: A target is no number and no array of numbers, or shapes differ.
    """
    arrays = [np.asarray(target) for target in targets]
    first = arrays[0]
    for i, array in zip(chosen, arrays, strict=True):
        if array.dtype.kind not in "biuf" or array.shape != first.shape:
            kind = type(targets[0] if array is first else targets[chosen.index(i)]).__name__
            raise _error(
                name,
                f"expected numbers of one shape as targets, got a {kind} in sample {i}; give a function of yours that "
                "returns tensors, package.module:function",
            )
    whole = np.stack(arrays)
    return whole if whole.dtype.kind == "f" else whole.astype(np.int64)


def _classes(dataset: Any) -> int | None:
    """Return the number of classes that a data set tells; None if it tells none."""
    names = getattr(dataset, "classes", None)
    if isinstance(names, (list, tuple)) and names:
        return len(names)
    number = getattr(dataset, "num_classes", None)
    if isinstance(number, int):
        return number
    every = (getattr(dataset, key, None) for key in TARGETS)
    values = np.asarray(next((found for found in every if found is not None), ()))
    return int(values.max()) + 1 if values.size and values.ndim == 1 and values.dtype.kind in "iu" else None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {shown(in_short(error))}"


def _error(name: str, fault: str) -> InputError:
    return InputError(f"--data torchvision:{shown(name)}: {fault}")
