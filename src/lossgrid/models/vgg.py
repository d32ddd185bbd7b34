"""VGG-9 for small pictures.

After Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, with batch
normalisation, as Li et al., NeurIPS 2018, use it; names and order of parameters are those of the paper's code.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

LAYERS = ((64, 64), (128, 128), (256, 256, 256))  # channels of the convolutions between the poolings
SIDE = 4  # pixels left of a picture of 32 x 32
HIDDEN = 256


class VGG(nn.Module):
    """Seven convolutions and two linear layers."""

    def __init__(self, in_channels: int = 3, num_classes: int = 10) -> None:
        super().__init__()
        features: list[nn.Module] = []
        channels = in_channels
        for stage in LAYERS:
            for width in stage:
                features += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                channels = width
            features.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*features)
        self.fc = nn.Sequential(
            nn.Linear(channels * SIDE * SIDE, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(inplace=True)
        )
        self.classifier = nn.Linear(HIDDEN, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures ``(n, in_channels, h, w)``, at least 8 x 8, to logits ``(n, num_classes)``."""
        out = F.adaptive_avg_pool2d(self.features(x), SIDE)  # the identity for pictures of 32 x 32
        return self.classifier(self.fc(out.flatten(1)))  # type: ignore[no-any-return]
