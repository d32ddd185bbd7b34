"""Augmentation of pictures on their device: crops and mirror images, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from lossgrid.training.randomness import RandomNumbers

MARGIN = 8  # a crop is shifted by up to an eighth of the size: 4 of 32 pixels, as usual for CIFAR


@dataclass(frozen=True)
class Augmentation:
    """The crop of each sample in an epoch, and whether it is mirrored; tensors of shape ``(n,)`` on the device.

    Attributes:
        top: First row of the crop in the padded picture, int64.
        left: First column of the crop in the padded picture, int64.
        mirrored: Whether the crop is mirrored left to right, bool.
        margins: Pixels of padding: above and below, left and right.
    """

    top: torch.Tensor
    left: torch.Tensor
    mirrored: torch.Tensor
    margins: tuple[int, int]


def make_augmentation(
    drawn: RandomNumbers, augment: Sequence[str], shape: Sequence[int], device: torch.device
) -> Augmentation | None:
    """Return the augmentation of an epoch; None if ``augment`` is empty.

    Args:
        drawn: The random numbers of the epoch.
        augment: ``crop``, ``flip``, both or nothing.
        shape: Shape of a picture, ``(channels, height, width)``.
        device: Device of the pictures.
    """
    if not augment:
        return None
    margins = (shape[1] // MARGIN, shape[2] // MARGIN) if "crop" in augment else (0, 0)
    top, left = (
        torch.from_numpy((fraction * (2 * margin + 1)).astype(np.int64)).to(device)
        for fraction, margin in zip((drawn.down, drawn.right), margins, strict=True)
    )
    mirrored = torch.from_numpy(drawn.mirrored & ("flip" in augment)).to(device)
    return Augmentation(top, left, mirrored, margins)


def augmented(pictures: torch.Tensor, augmentation: Augmentation, chosen: torch.Tensor) -> torch.Tensor:
    """Return a batch of augmented pictures: padded with zeros, cropped to their size, mirrored.

    Zero is the mean colour, as pictures are normalised.

    Args:
        pictures: All pictures, ``(n, channels, height, width)``.
        augmentation: The crop of each picture.
        chosen: Indices of the samples in the batch, int64, shape ``(batch,)``.

    Returns:
        Shape ``(batch, channels, height, width)``, channels innermost in memory.
    """
    vertical, horizontal = augmentation.margins
    padded = F.pad(pictures[chosen], (horizontal, horizontal, vertical, vertical)).permute(0, 2, 3, 1)
    height, width = (torch.arange(size, device=pictures.device) for size in pictures.shape[2:])
    rows = augmentation.top[chosen, None] + height
    columns = augmentation.left[chosen, None] + torch.where(augmentation.mirrored[chosen, None], width.flip(0), width)
    each = torch.arange(len(chosen), device=pictures.device)
    return padded[each[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
