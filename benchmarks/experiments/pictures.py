"""Data of the small experiments: CIFAR-10 with a quarter of the pixels, so that two cores do."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from lossgrid import data


def halved(split: str, folder: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return CIFAR-10 at 16 x 16 pixels, each the mean of four: ``(n, 3, 16, 16)``, float32, and classes, int64."""
    tensors = data.load(f"cifar10:{folder}", {}, splits=(split,))[split].tensors
    assert tensors is not None
    return F.avg_pool2d(tensors[0], 2), tensors[1]
