"""Measures that are a mean over samples or weights: losses, fractions of samples, functions of users."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lossgrid.data.batch import Tree
from lossgrid.measures.objective import as_number
from lossgrid.measures.summed import Summed


@dataclass(frozen=True)
class Mean(Summed):
    """A weighted mean.

    ``terms(outputs, targets)`` returns numbers whose sum is the mean of the batch times its weight, and the weight.
    """

    def start(self, device: torch.device) -> torch.Tensor:
        """Return zeros for total, weight and sum of squares, shape ``(3,)``, float64."""
        return torch.zeros(3, dtype=torch.float64, device=device)

    def add(self, state: torch.Tensor, outputs: torch.Tensor, targets: Tree) -> None:
        """Add total, weight and sum of squares of a batch; the squares are NaN without a number per sample."""
        terms, weight = self.terms(outputs, targets)
        total, weight_on_device = terms.sum(dtype=torch.float64), as_number(weight, terms)
        is_per_sample = isinstance(weight, int) and len(terms) == weight
        wide = terms.double()
        squares = wide.dot(wide) if is_per_sample else torch.full_like(total, torch.nan)
        state += torch.stack([total, weight_on_device, squares])

    def values(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean and its standard error over the samples, both of shape ``(1,)``, float64.

        The standard error is s / sqrt(n) with the variance s^2 = (sum x^2 - (sum x)^2 / n) / (n - 1).
        """
        total, count, squares = state[:1], state[1:2], state[2:]
        variance = (squares - total.square() / count) / (count - 1)
        return total / count, (variance.clamp(min=0) / count).sqrt()
