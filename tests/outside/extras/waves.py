"""A network: one hidden layer of sines."""

import torch
from torch import nn


class Waves(nn.Module):
    """Sines of linear functions, then a linear layer."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(2, width), nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outer(self.inner(x).sin())


def waves(num_classes: int, width: int = 8) -> nn.Module:
    """Return the network."""
    return Waves(width, num_classes)
