"""Fewer samples of a split: drawn once, the same at all points and on all ranks, each class with its share."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import torch

from lossgrid.data.batch import is_tensor
from lossgrid.data.batches import Batches, Collated, Resident, Stream
from lossgrid.data.numbers import is_class


def fewer(batches: Batches, count: int, digest: str) -> Batches:
    """Return batches of ``count`` samples, kept on the device; the same batches if there are no more than that.

    Args:
        batches: The samples of a split.
        count: How many to draw.
        digest: Decides which ones. More samples of the same digest include those of fewer.
    """
    if count >= batches.samples:
        return batches
    if isinstance(batches, Collated):
        return _of_collated(batches, chosen(None, batches.samples, count, digest))
    if isinstance(batches, Stream):
        drawn = batches.at(chosen(None, batches.samples, count, digest))
    else:
        index = torch.tensor(chosen(_classes(batches), batches.samples, count, digest))
        drawn = batches.whole.apply(lambda leaf: _rows(leaf, index))
    return Resident(drawn.inputs, drawn.targets, batches.batch_size, drawn.label)


def _classes(batches: Resident) -> npt.NDArray[np.int64] | None:
    targets = batches.targets
    return targets.cpu().numpy() if is_tensor(targets) and targets.ndim == 1 and is_class(targets) else None


def _rows(leaf: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return some rows of a tensor, in its memory format."""
    channels_last = leaf.ndim == 4 and leaf.is_contiguous(memory_format=torch.channels_last)
    rows = leaf[index.to(leaf.device)]
    return rows.contiguous(memory_format=torch.channels_last) if channels_last else rows


def chosen(classes: npt.NDArray[np.int64] | None, samples: int, count: int, digest: str) -> list[int]:
    """Return ``count`` indices below ``samples``, rising: a random choice in which each class has its share.

    The samples of a class are spread evenly over the order of drawing, so any first part of that has all classes.

    Args:
        classes: The class of each sample, shape ``(samples,)``; None for no classes.
        samples: Number of samples.
        count: Number of indices.
        digest: Decides the order of drawing.
    """
    seed = int.from_bytes(hashlib.sha256(f"samples {digest}".encode()).digest(), "big")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(samples)
    if classes is not None:
        drawn = classes[order]
        place = np.empty(samples)
        for one in np.unique(drawn):
            of_class = np.flatnonzero(drawn == one)
            place[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
        order = order[np.argsort(place, kind="stable")]
    return [int(index) for index in np.sort(order[:count])]


def _of_collated(batches: Collated, indices: list[int]) -> Collated:
    """Return the samples at ``indices``, put into batches by the user's collate function."""
    stream, size = batches.stream, batches.batch_size
    parts = [indices[start : start + size] for start in range(0, len(indices), size)]
    return Collated(stream, [stream.at(part) for part in parts])
