"""Pictures in folders, ``FOLDER/<split>/<class>/*.png``, as torchvision's ``ImageFolder`` reads them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError, shown
from lossgrid.readers.location import listed, path_of
from lossgrid.readers.normalisation import channels_of, normalised
from lossgrid.readers.pictures import ENDINGS, Form, read_picture
from lossgrid.readers.reader import Options
from lossgrid.readers.spread import spread
from lossgrid.readers.stack import stacked

FORM = "images:FOLDER"
TREE = "FOLDER/<split>/<class>/*.png"
TRAIN = "train"

OPTIONS: Options = {
    "resize": {"N or H,W": "N is the shorter side"},
    "crop": {"N or H,W": "of the centre"},
    "mode": {"rgb": "default", "l": "grey"},
    "normalize": {
        "none": "default", "imagenet": "torchvision's", "li": "the paper's, of CIFAR-10", "[MEANS,DEVIATIONS]": "",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Images:
    """The data set with the name ``images``."""

    name: str = "images"
    location: str = "FOLDER"
    options: Options = field(default_factory=lambda: OPTIONS)
    splits: tuple[str, ...] = ()

    def read(
        self,
        split: str,
        *,
        location: str,
        max_samples: int | None = None,
        resize: Any = None,
        crop: Any = None,
        mode: Any = "rgb",
        normalize: Any = "none",
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return pictures ``(n, c, h, w)``, float32, normalised, and classes ``(n,)``, int64.

        Args:
            split: The name of a folder in ``location``.
            location: The folder of the splits.
            max_samples: Number of samples to read, spread evenly over the split; None for all.
            resize: The shorter side, or height and width, in pixels; None to leave the size.
            crop: The side of a square, or height and width, in pixels; None for all.
            mode: ``rgb`` or ``l``.
            normalize: See :func:`lossgrid.readers.normalisation.channels_of`.

        Raises:
            InputError: A folder or a picture is missing or damaged, sizes differ, or an option has no such value.
        """
        form = Form.of(mode, resize, crop)
        channels = channels_of(normalize, form.channels)
        files, classes = _samples(path_of(location, data=FORM), split)
        chosen = spread(len(files), len(files) if max_samples is None else max_samples)
        pictures = stacked(
            len(chosen),
            lambda i: read_picture(files[chosen[i]], form),
            lambda i: shown(files[chosen[i]]),
            data=FORM,
            resized=form.resize is not None,
        )
        return normalised(pictures, channels), np.array([classes[i] for i in chosen], dtype=np.int64)

    def classes(self, location: str) -> int:
        """Return the number of classes: those of the split that numbers them."""
        return len(_numbering(path_of(location, data=FORM))[1])


def _samples(folder: Path, split: str) -> tuple[list[Path], list[int]]:
    """Return the files of a split, in the order of classes and names, and their classes.

    Raises:
        InputError: A folder is missing or has no pictures, or the split has a class that the numbering lacks.
    """
    splits = _folders(folder)
    if split not in splits:
        raise InputError(
            f"--data {FORM}: expected {TREE}; {shown(folder)} has no folder {shown(repr(split))}, it holds "
            f"{listed(splits)}"
        )
    numbering, names = _numbering(folder)
    own = _folders(folder / split)
    if not own:
        raise InputError(f"--data {FORM}: expected {TREE}; {shown(folder / split)} holds no folder of a class")
    if unknown := {*own} - {*names}:
        raise InputError(
            f"--data {FORM}: the split {shown(numbering)} numbers the classes, and it lacks {listed(unknown)} of the "
            f"split {shown(split)}"
        )
    numbers = {name: number for number, name in enumerate(names)}
    files, classes = [], []
    for name in own:
        found = _pictures(folder / split / name)
        files += found
        classes += [numbers[name]] * len(found)
    return files, classes


def _numbering(folder: Path) -> tuple[str, list[str]]:
    """Return the split that numbers the classes, and their names in order.

    It is ``train``, else the first split with classes: a class has the same number in all splits.
    """
    for split in sorted(_folders(folder), key=lambda name: (name != TRAIN, name)):
        if classes := _folders(folder / split):
            return split, classes
    return "", []


def _folders(folder: Path) -> list[str]:
    """Return the sorted names of the folders in ``folder``, without hidden ones."""
    return sorted(entry.name for entry in _entries(folder) if _is_folder(entry))


def _pictures(folder: Path) -> list[Path]:
    """Return the sorted pictures in ``folder``, without hidden ones; folders in it are not searched.

    Raises:
        InputError: There are none.
    """
    found = sorted(entry.name for entry in _entries(folder) if entry.name.lower().endswith(ENDINGS))
    if not found:
        others = [entry.name for entry in _entries(folder)]
        raise InputError(
            f"--data {FORM}: expected pictures ({' '.join(ENDINGS)}) in {shown(folder)}, it holds {listed(others)}"
        )
    return [folder / name for name in found]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise _unreadable(folder, error) from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:  # such as a symbolic link to itself
        raise _unreadable(Path(entry.path), error) from None


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"--data {FORM}: {shown(path)} cannot be read: {error.strerror}; expected {TREE}")
