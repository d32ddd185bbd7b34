"""Steps of users, for whole jobs."""

from __future__ import annotations

import os
import time
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


def classify(model: Any, batch: Any) -> dict[str, Any]:
    """Return loss and accuracy; it takes as long as the test says."""
    inputs, targets = batch
    time.sleep(float(os.environ.get("SECONDS_PER_POINT", "0")))
    scores = model(inputs)
    return {
        "loss": F.cross_entropy(scores, targets, reduction="none"),
        "accuracy": scores.argmax(dim=1) == targets,
    }


def line(split: str) -> torch.Tensor:
    """Return points of a line, without targets."""
    return torch.linspace(-2, 2, 30 + len(split), dtype=torch.float64)[:, None]


class Sine(nn.Module):
    """A solution of u'' = -u where ``frequency`` is 1."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.frequency = nn.Parameter(torch.tensor([[1.5]])), nn.Parameter(torch.tensor([[1.0]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x @ self.frequency.T) @ self.scale.T


def physics(model: Any, x: torch.Tensor) -> dict[str, Any]:
    """Return the square of u'' + u."""
    u = model(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    time.sleep(float(os.environ.get("SECONDS_PER_POINT", "0")))
    return {"loss": (curvature + u)[:, 0].square(), "residual": (curvature + u)[:, 0].abs()}


physics.needs_grad = True  # type: ignore[attr-defined]
physics.units = {"residual": "m"}  # type: ignore[attr-defined]
