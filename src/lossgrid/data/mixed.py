"""A small batch that represents a split: samples spread over it, with many different targets."""

from __future__ import annotations

import numpy as np
import torch

from lossgrid.data.batch import Batch, Tree, is_tensor, leaves
from lossgrid.data.batches import Batches, Resident

SPREAD, KINDS = 32, 32  # samples spread evenly over the split, and samples of different targets, at most
ALONE = 16  # samples that are collated one by one: their lengths differ
LEAST = 8  # samples at least: few enough for a network that needs much memory, enough to compare


def mixed(batches: Batches) -> Batch:
    """Return up to ``SPREAD + KINDS`` samples on the device, at most a batch, in the order of the split.

    A batch of a sorted split holds only one class. Only a batch of several classes reveals a loss that weighs classes
    or ignores targets.
    """
    return batches.at(chosen(batches))


def together_and_alone(batches: Batches) -> tuple[Batch, list[Batch]]:
    """Return up to ``ALONE`` samples of :func:`mixed` as one batch, and each as a batch of its own."""
    every = chosen(batches)
    few = [every[i] for i in np.linspace(0, len(every) - 1, min(len(every), ALONE)).astype(int).tolist()]
    return batches.at(few), [batches.at([index]) for index in few]


def chosen(batches: Batches) -> list[int]:
    """Return the indices of the samples of :func:`mixed`, in rising order."""
    most = max(LEAST, min(batches.batch_size, SPREAD + KINDS))
    found = set(np.linspace(0, batches.samples - 1, min(batches.samples, most // 2)).astype(int).tolist())
    if isinstance(batches, Resident) and leaves(batches.targets):
        found |= _of_each_kind(_labels(batches.targets), most - most // 2)
    return sorted(found)


def _labels(targets: Tree) -> torch.Tensor:
    """Return the targets that distinguish kinds of samples: the first tensor of integers, if there are several."""
    if is_tensor(targets):
        return targets  # type: ignore[no-any-return]
    return next((leaf for leaf in leaves(targets) if leaf.dtype == torch.int64), leaves(targets)[0].double())


def _of_each_kind(targets: torch.Tensor, most: int) -> set[int]:
    """Return indices: of one sample for each of up to ``most`` classes, or of the extreme labels in sequences."""
    if targets.is_floating_point() or targets.is_complex():
        return set()
    flat = targets.reshape(len(targets), -1)
    if flat.shape[1] == 1:
        _, kinds = torch.unique(flat[:, 0], return_inverse=True)
        first = torch.full((int(kinds.max()) + 1,), len(flat), device=flat.device)
        first = first.scatter_reduce(0, kinds, torch.arange(len(flat), device=flat.device), "amin")
        return set(first[torch.linspace(0, len(first) - 1, min(len(first), most)).round().long()].tolist())
    return {int(flat.amin(dim=1).argmin()), int(flat.amax(dim=1).argmax()), int(flat.amin(dim=1).argmax())}
