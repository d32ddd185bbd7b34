"""Residual networks for small pictures, with and without shortcuts.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (section 4.2 for CIFAR); Zagoruyko & Komodakis,
"Wide Residual Networks", BMVC 2016, for the width; Li et al., NeurIPS 2018, for the networks without shortcuts.
Names and order of parameters are those of the paper's code, so that its published checkpoints load.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from lossgrid.errors import InputError

SHORTCUTS = ("projection", "pad", "none")


class Pad(nn.Module):
    """Shortcut without parameters (He et al., option A): every second pixel, new channels zero on both sides."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        before = (out_channels - in_channels) // 2
        self.stride = stride
        self.padding = (0, 0, 0, 0, before, out_channels - in_channels - before)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, in_channels, h, w)`` to ``(n, out_channels, h / stride, w / stride)``."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], self.padding)


def make_shortcut(kind: str, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    """Return the shortcut around a block; None for the kind "none"."""
    if kind == "none":
        return None
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if kind == "pad":
        return Pad(in_channels, out_channels, stride)
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
    )


class Basic(nn.Module):
    """Two convolutions of 3 x 3 and a shortcut around them."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = make_shortcut(shortcut, in_channels, channels, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, in_channels, h, w)`` to ``(n, channels, h / stride, w / stride)``."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out if self.shortcut is None else out + self.shortcut(x))


class Bottleneck(nn.Module):
    """Convolutions of 1 x 1, 3 x 3 and 1 x 1, the last with four times the channels, and a shortcut around them."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, self.expansion * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(self.expansion * channels)
        self.shortcut = make_shortcut(shortcut, in_channels, self.expansion * channels, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, in_channels, h, w)`` to ``(n, 4 channels, h / stride, w / stride)``."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        # Without a shortcut the paper's code omits the last ReLU too; its checkpoints were trained so.
        return out if self.shortcut is None else F.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    """A convolution, three or four layers of blocks, a linear layer; each layer after the first halves the picture."""

    def __init__(
        self,
        block: type[Basic] | type[Bottleneck],
        blocks: Sequence[int],
        width: int,
        *,
        in_channels: int,
        num_classes: int,
        shortcut: str,
    ) -> None:
        """Build the network.

        Args:
            block: Kind of block.
            blocks: Number of blocks of each layer.
            width: Channels of the first layer, doubled with each next.
            in_channels: Channels of the pictures.
            num_classes: Number of classes.
            shortcut: One of ``SHORTCUTS``.

        Raises:
            InputError: The shortcut is unknown.
        """
        super().__init__()
        if shortcut not in SHORTCUTS:
            raise InputError(f"--model-arg: shortcut must be one of {', '.join(SHORTCUTS)}, got {shortcut!r}")
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        self.depth = len(blocks)
        for layer, count in enumerate(blocks):
            strides = [1 if layer == 0 else 2] + [1] * (count - 1)
            stack = []
            for stride in strides:
                stack.append(block(channels, width << layer, stride, shortcut))
                channels = block.expansion * (width << layer)
            self.add_module(f"layer{layer + 1}", nn.Sequential(*stack))
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures ``(n, in_channels, h, w)`` to logits ``(n, num_classes)``."""
        out = F.relu(self.bn1(self.conv1(x)))
        for layer in range(1, self.depth + 1):
            out = self.get_submodule(f"layer{layer}")(out)
        # Pooling over all pixels: 8 x 8 (4 x 4 with four layers) for pictures of 32 x 32, as in the paper's code.
        return self.linear(F.adaptive_avg_pool2d(out, 1).flatten(1))  # type: ignore[no-any-return]


def cifar_resnet(depth: int, *, widen: int = 1, in_channels: int, num_classes: int, shortcut: str) -> ResNet:
    """Return the network of ``depth`` = 6 n + 2 layers for CIFAR (He et al., section 4.2), ``widen`` times as wide."""
    blocks = (depth - 2) // 6
    return ResNet(Basic, [blocks] * 3, 16 * widen, in_channels=in_channels, num_classes=num_classes, shortcut=shortcut)


IMAGENET: dict[int, tuple[type[Basic] | type[Bottleneck], list[int]]] = {
    18: (Basic, [2, 2, 2, 2]),
    34: (Basic, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
}


def imagenet_resnet(depth: int, *, in_channels: int, num_classes: int, shortcut: str) -> ResNet:
    """Return the network of He et al., table 1, with the first convolution of the paper's code, for small pictures."""
    block, blocks = IMAGENET[depth]
    return ResNet(block, blocks, 64, in_channels=in_channels, num_classes=num_classes, shortcut=shortcut)
