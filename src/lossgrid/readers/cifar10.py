"""CIFAR-10 in the two layouts of its authors, binary and python (Krizhevsky, 2009).

In both a picture has 3,072 bytes: the planes red, green and blue, each 32 x 32 row by row. The python layout consists
of pickles, which are read as data.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError, in_short
from lossgrid.files import read_file
from lossgrid.readers.arrays import read_pickle
from lossgrid.readers.location import path_of
from lossgrid.readers.normalisation import NORMALISATIONS, normalised
from lossgrid.readers.reader import Options
from lossgrid.readers.spread import spread

log = logging.getLogger(__name__)

CLASSES = 10
PIXELS = 3 * 32 * 32
LARGEST = 2**26  # bytes of a batch, twice those of a published one: other pickles of the same data may be larger
SUBFOLDERS = {"bin": "cifar-10-batches-bin", "py": "cifar-10-batches-py"}
RECORDS = 10_000  # pictures in each batch
BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}

# MD5 of the published batches of the python layout; torchvision checks the same.
PUBLISHED = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}

MEANINGS = {"li": "default, the paper's", "imagenet": "akamaster's and torchvision's", "none": ""}

Pictures = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cifar10:
    """The data set with the name ``cifar10``."""

    name: str = "cifar10"
    location: str = "FOLDER"
    options: Options = field(default_factory=lambda: {"normalize": MEANINGS})
    splits: tuple[str, ...] = tuple(BATCHES)

    def read(
        self, split: str, *, location: str, max_samples: int | None = None, normalize: str = "li"
    ) -> tuple[npt.NDArray[np.float32], Labels]:
        """Return pictures and classes of the folder at ``location``; see :func:`read`.

        Raises:
            InputError: See :func:`read`.
        """
        folder = path_of(location, data="cifar10:FOLDER")
        return read(split, folder=folder, normalize=normalize, max_samples=max_samples)

    def classes(self, location: str) -> int:
        """Return the number of classes."""
        del location
        return CLASSES


def read(
    split: str, *, folder: Path, normalize: str = "li", max_samples: int | None = None
) -> tuple[npt.NDArray[np.float32], Labels]:
    """Return pictures ``(n, 3, 32, 32)``, float32, normalised, and classes ``(n,)``, int64.

    Args:
        split: ``train`` or ``test``.
        folder: The folder of the batches, or of the published subfolder with them.
        normalize: ``li``, ``imagenet`` or ``none``.
        max_samples: Number of samples to keep, spread evenly over the split; None for all.

    Raises:
        InputError: The folder has no CIFAR-10, a batch is damaged, or the normalisation is unknown.
    """
    if normalize not in NORMALISATIONS:
        raise InputError(f"--data-arg normalize: expected {', '.join(NORMALISATIONS)}, got {normalize!r}")
    layout, where = _find(folder)
    batches = {name: _batch(where, layout, name) for name in BATCHES[split]}
    _warn_of_other_pictures(where, {name: (len(labels), digest) for name, (_, labels, digest) in batches.items()})
    pictures = np.concatenate([pictures for pictures, _, _ in batches.values()])
    labels = np.concatenate([labels for _, labels, _ in batches.values()])
    if max_samples is not None:
        chosen = spread(len(labels), max_samples)
        pictures, labels = pictures[chosen], labels[chosen]
    return normalised(pictures.reshape(-1, 3, 32, 32).astype(np.float32), NORMALISATIONS[normalize]), labels


def _batch(where: Path, layout: str, name: str) -> tuple[Pictures, Labels, str]:
    """Return pictures, classes and MD5 of a batch; the MD5 is empty in the binary layout."""
    path = where / (f"{name}.bin" if layout == "bin" else name)
    content = read_file(path, most=LARGEST + 1, what="--data cifar10: batch")
    if len(content) > LARGEST:
        raise InputError(f"--data cifar10: {path} is damaged: a batch has no more than {LARGEST} bytes")
    if layout == "bin":
        return *_decode_binary(content, path), ""
    return *_decode_python(content, path), hashlib.md5(content, usedforsecurity=False).hexdigest()


def _warn_of_other_pictures(where: Path, found: Mapping[str, tuple[int, str]]) -> None:
    """Warn if batches differ from the published ones: if they are a part of them, or have other bytes."""
    short = [f"{name} {count}" for name, (count, _) in found.items() if count != RECORDS]
    if short:
        log.warning("%s is a part of CIFAR-10: each batch has %d pictures, here %s", where, RECORDS, ", ".join(short))
        return
    other = [name for name, (_, digest) in found.items() if digest not in ("", PUBLISHED[name])]
    if other:
        log.warning(
            "%s holds other bytes than the published CIFAR-10 in %s: with other pixels, values differ", where,
            ", ".join(other),
        )  # fmt: skip


def _find(folder: Path) -> tuple[str, Path]:
    """Return the layout in ``folder`` or in its published subfolder, and the folder with the batches."""
    for layout, subfolder in SUBFOLDERS.items():
        for where in (folder / subfolder, folder):
            if (where / ("test_batch.bin" if layout == "bin" else "test_batch")).is_file():
                return layout, where
    raise InputError(
        f"--data cifar10:FOLDER: {folder} holds neither {SUBFOLDERS['bin']} nor {SUBFOLDERS['py']}; "
        "unpack CIFAR-10 there"
    )


def _decode_binary(content: bytes, path: Path) -> tuple[Pictures, Labels]:
    """Return pictures and classes of the binary layout: records of one byte for the class, then the picture."""
    if not content or len(content) % (1 + PIXELS):
        raise InputError(f"--data cifar10: {path} is damaged: {len(content)} bytes are no multiple of {1 + PIXELS}")
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, 1 + PIXELS)
    return _checked(records[:, 1:], records[:, 0], path)


def _decode_python(content: bytes, path: Path) -> tuple[Pictures, Labels]:
    """Return pictures and classes of the python layout: a pickled dict."""
    try:
        batch = read_pickle(content)
        pictures, labels = (np.asarray(getattr(batch[key], "values", batch[key])) for key in ("data", "labels"))
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(
            f"--data cifar10: {path} is damaged or no batch of CIFAR-10 ({type(error).__name__}: {in_short(error)})"
        ) from None
    return _checked(pictures, labels, path)


def _checked(pictures: npt.NDArray[Any], labels: npt.NDArray[Any], path: Path) -> tuple[Pictures, Labels]:
    shapes_fit = pictures.ndim == 2 and pictures.shape[1] == PIXELS and labels.shape == pictures.shape[:1]
    types_fit = pictures.dtype == np.uint8 and labels.dtype.kind in "iu"
    if not shapes_fit or not types_fit or not len(labels):
        raise InputError(
            f"--data cifar10: {path} is damaged: expected bytes (n, {PIXELS}) and n classes, got {pictures.dtype} "
            f"{pictures.shape} and {labels.dtype} {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= CLASSES:
        raise InputError(f"--data cifar10: {path} is damaged: classes {labels.min()}..{labels.max()}, expected 0..9")
    return pictures, labels.astype(np.int64)
