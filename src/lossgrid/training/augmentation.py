"""Pictures cropped and mirrored, a batch at a time, where they are in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from lossgrid.training.randomness import RandomNumbers

MARGIN = 8  # a picture is moved by up to an eighth of its size: 4 of 32 pixels, as is usual for CIFAR


@dataclass(frozen=True)
class Augmentation:
    """How each sample is seen in an epoch: pixels cut off above and left of the padded picture, and mirrored or not.

    Attributes:
        top: int64, shape ``(n,)``, on the device, as all three.
        left: int64.
        mirrored: bool.
        margins: Pixels of padding above and below, and on both sides.
    """

    top: torch.Tensor
    left: torch.Tensor
    mirrored: torch.Tensor
    margins: tuple[int, int]


def make_augmentation(
    drawn: RandomNumbers, augment: Sequence[str], shape: Sequence[int], device: torch.device
) -> Augmentation | None:
    """Return how the samples are seen; None where they stay as they are.

    Args:
        drawn: What was drawn for the epoch.
        augment: ``crop``, ``flip``, both or nothing.
        shape: That of a picture, ``(channels, height, width)``.
        device: Where the pictures are.
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
    """Return a batch of pictures as they are seen in an epoch: padded with zeros, cropped to their size, mirrored.

    Zero is the mean colour, as pictures are normalised.

    Args:
        pictures: All pictures, ``(n, channels, height, width)``.
        augmentation: How each is seen.
        chosen: The samples of the batch, int64, shape ``(batch,)``.

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
