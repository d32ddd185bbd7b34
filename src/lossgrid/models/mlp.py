"""A small multilayer perceptron, for a first try."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from lossgrid.errors import InputError


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, in_features: int = 64, num_classes: int = 10, hidden: Sequence[int] | int = (64, 64)) -> None:
        """Build the network.

        Args:
            in_features: Numbers in one sample.
            num_classes: Number of classes.
            hidden: Width of each hidden layer; without any this is logistic regression.

        Raises:
            InputError: A width is no positive whole number.
        """
        super().__init__()
        inner = list(hidden) if isinstance(hidden, Sequence) else [hidden]
        if not all(type(width) is int and width > 0 for width in inner):
            raise InputError(f"--model-arg: hidden must be positive whole numbers such as [64,64], got {hidden!r}")
        widths = [in_features, *inner, num_classes]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map samples ``(n, ...)`` of ``in_features`` numbers to logits ``(n, num_classes)``."""
        out = x.flatten(1)
        for layer in self.layers[:-1]:
            out = F.relu(layer(out))
        return self.layers[-1](out)  # type: ignore[no-any-return]
