"""DenseNet-121 for small pictures.

Huang et al., "Densely Connected Convolutional Networks", CVPR 2017, with bottlenecks and compression (table 1). The
first convolution of 3 x 3, and the names and order of parameters, are those of the code of Li et al., NeurIPS 2018.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

BLOCKS = (6, 12, 24, 16)
GROWTH = 32


class Dense(nn.Module):
    """A bottleneck that puts ``GROWTH`` new channels before those of its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 4 * GROWTH, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * GROWTH)
        self.conv2 = nn.Conv2d(4 * GROWTH, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, channels, h, w)`` to ``(n, channels + GROWTH, h, w)``."""
        out = self.conv1(F.relu(self.bn1(x)))
        out = self.conv2(F.relu(self.bn2(out)))
        return torch.cat([out, x], dim=1)


class Transition(nn.Module):
    """Halves the number of channels, the height and the width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels // 2, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, channels, h, w)`` to ``(n, channels / 2, h / 2, w / 2)``."""
        return F.avg_pool2d(self.conv(F.relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    """Four dense blocks with transitions between them, and a linear layer."""

    def __init__(self, in_channels: int = 3, num_classes: int = 10) -> None:
        super().__init__()
        channels = 2 * GROWTH
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        for number, count in enumerate(BLOCKS, start=1):
            self.add_module(f"dense{number}", nn.Sequential(*(Dense(channels + i * GROWTH) for i in range(count))))
            channels += count * GROWTH
            if number < len(BLOCKS):
                self.add_module(f"trans{number}", Transition(channels))
                channels //= 2
        self.bn = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures ``(n, in_channels, h, w)``, at least 8 x 8, to logits ``(n, num_classes)``."""
        out = self.conv1(x)
        for number in range(1, len(BLOCKS) + 1):
            out = self.get_submodule(f"dense{number}")(out)
            if number < len(BLOCKS):
                out = self.get_submodule(f"trans{number}")(out)
        out = F.adaptive_avg_pool2d(F.relu(self.bn(out)), 1)
        return self.linear(out.flatten(1))  # type: ignore[no-any-return]
