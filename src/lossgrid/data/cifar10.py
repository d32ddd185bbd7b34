"""CIFAR-10 in the layouts its authors publish, binary and python (Krizhevsky, 2009).

Both hold pictures as 3,072 bytes, the planes red, green, blue, each 32 x 32 row by row. The python layout consists of
pickles: they are read by an unpickler that knows NumPy's arrays and nothing else, so a forged file cannot run code.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError

CLASSES = 10
PIXELS = 3 * 32 * 32
SUBFOLDERS = {"bin": "cifar-10-batches-bin", "py": "cifar-10-batches-py"}
BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}

# Mean and standard deviation of red, green, blue, for pixels in 0..1.
NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    # of the paper's code (tomgoldstein/loss-landscape, cifar10/dataloader.py)
    "li": ((125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255)),
    # of ImageNet, with which many published CIFAR networks were trained (akamaster/pytorch_resnet_cifar10 among them)
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}

Pictures = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def read(
    split: str, *, folder: Path, normalize: str = "li", max_samples: int | None = None
) -> tuple[npt.NDArray[np.float32], Labels]:
    """Return pictures ``(n, 3, 32, 32)``, float32, normalised, and classes ``(n,)``, int64.

    Args:
        split: ``train`` or ``test``.
        folder: Where the batches, or the published subfolder with them, lie.
        normalize: ``li``, ``imagenet`` or ``none``.
        max_samples: Read no more than the first so many.

    Raises:
        InputError: The folder does not hold the data, a batch is damaged, or the normalisation is unknown.
    """
    if normalize not in NORMALISATIONS:
        raise InputError(f"--data-arg normalize: expected {', '.join(NORMALISATIONS)}, got {normalize!r}")
    pictures, labels = _first(_batches(split, folder), max_samples)
    mean, deviation = (np.array(part, dtype=np.float32)[:, None, None] for part in NORMALISATIONS[normalize])
    scaled = pictures.reshape(-1, 3, 32, 32).astype(np.float32)
    scaled /= 255
    scaled -= mean
    scaled /= deviation
    return scaled, labels


def _first(batches: Iterator[tuple[Pictures, Labels]], count: int | None) -> tuple[Pictures, Labels]:
    """Join batches until there are ``count`` pictures."""
    pictures, labels, have = [], [], 0
    for more_pictures, more_labels in batches:
        pictures.append(more_pictures)
        labels.append(more_labels)
        have += len(more_labels)
        if count is not None and have >= count:
            break
    return np.concatenate(pictures)[:count], np.concatenate(labels)[:count]


def _batches(split: str, folder: Path) -> Iterator[tuple[Pictures, Labels]]:
    layout, where = _find(folder)
    for name in BATCHES[split]:
        path = where / (f"{name}.bin" if layout == "bin" else name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"--data cifar10: cannot read {path}: {error.strerror}") from None
        yield _decode_binary(content, path) if layout == "bin" else _decode_python(content, path)


def _find(folder: Path) -> tuple[str, Path]:
    """Tell which layout lies in ``folder`` or in the published subfolder of it."""
    for layout, subfolder in SUBFOLDERS.items():
        for where in (folder / subfolder, folder):
            if (where / ("test_batch.bin" if layout == "bin" else "test_batch")).is_file():
                return layout, where
    raise InputError(
        f"--data cifar10:FOLDER: {folder} holds neither {SUBFOLDERS['bin']} nor {SUBFOLDERS['py']}; "
        "unpack CIFAR-10 there"
    )


def _decode_binary(content: bytes, path: Path) -> tuple[Pictures, Labels]:
    """Cut records of one byte of class and the bytes of the picture."""
    if not content or len(content) % (1 + PIXELS):
        raise InputError(f"--data cifar10: {path} is damaged: {len(content)} bytes are no multiple of {1 + PIXELS}")
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, 1 + PIXELS)
    return _checked(records[:, 1:], records[:, 0], path)


def _decode_python(content: bytes, path: Path) -> tuple[Pictures, Labels]:
    """Read the pickled dictionary of a batch."""
    try:
        batch = _read_pickle(content)
        pictures, labels = np.asarray(batch["data"]), np.asarray(batch["labels"])
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(
            f"--data cifar10: {path} is damaged or no batch of CIFAR-10 ({type(error).__name__}: {error})"
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


def _latin1(text: str, encoding: str) -> bytes:
    """Stand for ``codecs.encode``, as which Python 3 writes bytes into the old pickle protocols."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}, which no batch of CIFAR-10 does")
    return text.encode("latin1")


_RECONSTRUCT, _FROM_BUFFER = np.empty(0).__reduce__()[0], np.empty(0).__reduce_ex__(5)[0]
_KNOWN: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _latin1,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    # NumPy's own helpers, under the names of its versions 1 and 2
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FROM_BUFFER for core in ("core", "_core")},
}


class _ArraysOnly(pickle.Unpickler):
    """Builds NumPy arrays and plain containers; refuses every other class or function a pickle names."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle may name.

        Raises:
            UnpicklingError: It names anything else.
        """
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch of CIFAR-10 does") from None


def _read_pickle(content: bytes) -> Any:
    return _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
