"""A small batch that stands for a split: samples from all over it, of every kind of target."""

from __future__ import annotations

import numpy as np
import torch

from lossgrid.data.batch import Batch, Tree, is_tensor, leaves
from lossgrid.data.batches import Batches, Resident

SPREAD, KINDS = 32, 32  # samples from all over the split, and of as many different targets
LEAST = 8  # samples: less than the usual batch where a network needs much memory, but enough to compare


def mixed(batches: Batches) -> Batch:
    """Return up to ``SPREAD + KINDS`` samples on the device, in the order of the split, or as many as a batch has.

    A batch of a sorted split holds one class alone. A loss that weighs classes, or ignores some targets, shows only in
    a batch of several.
    """
    most = max(LEAST, min(batches.batch_size, SPREAD + KINDS))
    chosen = set(np.linspace(0, batches.samples - 1, min(batches.samples, most // 2)).astype(int).tolist())
    if isinstance(batches, Resident):
        every = sorted(chosen | _of_each_kind(_labels(batches.targets), most - most // 2))
        return batches.whole.at(torch.tensor(every, device=leaves(batches.targets)[0].device))
    return batches.transfer(batches.split.read(sorted(chosen)))


def _labels(targets: Tree) -> torch.Tensor:
    """Return the targets that tell kinds of samples apart: of several the first that are integers."""
    if is_tensor(targets):
        return targets  # type: ignore[no-any-return]
    return next((leaf for leaf in leaves(targets) if leaf.dtype == torch.int64), leaves(targets)[0].double())


def _of_each_kind(targets: torch.Tensor, most: int) -> set[int]:
    """Return the index of a sample of up to ``most`` classes, or with the lowest and highest label of a sequence."""
    if targets.is_floating_point() or targets.is_complex():
        return set()
    flat = targets.reshape(len(targets), -1)
    if flat.shape[1] == 1:
        _, kinds = torch.unique(flat[:, 0], return_inverse=True)
        first = torch.full((int(kinds.max()) + 1,), len(flat), device=flat.device)
        first = first.scatter_reduce(0, kinds, torch.arange(len(flat), device=flat.device), "amin")
        return set(first[torch.linspace(0, len(first) - 1, min(len(first), most)).round().long()].tolist())
    return {int(flat.amin(dim=1).argmin()), int(flat.amax(dim=1).argmax()), int(flat.amin(dim=1).argmax())}
