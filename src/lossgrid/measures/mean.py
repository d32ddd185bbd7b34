"""Means over the samples of a split, or over weights: losses, fractions of samples, functions of users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from lossgrid.measures.objective import Objective, Terms, as_number
from lossgrid.surface import Quantity, quantity


@dataclass(frozen=True)
class Mean:
    """A mean.

    Attributes:
        name: What it is called.
        terms: ``terms(outputs, targets)`` returns numbers whose sum is the mean of the batch times its weight, and the
            weight.
        meaning: Returns what the value means, for a split.
        of_classes: It needs classes as targets, and a score for every class.
    """

    name: str
    terms: Callable[..., Terms]
    meaning: Callable[[str], Quantity]
    of_classes: bool = False
    is_recordable: bool = True

    def quantities(self, split: str) -> Sequence[Quantity]:
        """Return what the value means, for a split."""
        return (self.meaning(split),)

    def start(self, device: torch.device) -> torch.Tensor:
        """Return total, weight and sum of squares of nothing, shape ``(3,)``, float64."""
        return torch.zeros(3, dtype=torch.float64, device=device)

    def add(self, state: torch.Tensor, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Add total, weight and sum of squares of a batch; squares are NaN where samples are not known one by one."""
        terms, weight = self.terms(outputs, targets)
        total, weight_there = terms.sum(dtype=torch.float64), as_number(weight, terms)
        is_per_sample = isinstance(weight, int) and len(terms) == weight
        wide = terms.reshape(-1).double()
        squares = torch.dot(wide, wide) if is_per_sample else torch.full_like(total, torch.nan)
        state += torch.stack([total, weight_there, squares])

    def values(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean and its standard error over the samples, both of shape ``(1,)``, float64.

        The error is s / sqrt(n) with the variance s^2 = (sum x^2 - (sum x)^2 / n) / (n - 1).
        """
        total, count, squares = state[:1], state[1:2], state[2:]
        variance = (squares - total.square() / count) / (count - 1)
        return total / count, (variance.clamp(min=0) / count).sqrt()


def loss_of(objective: Objective) -> Mean:
    """Return the measure of a loss."""
    return Mean("loss", objective.terms, lambda split: quantity.loss(split, objective.units))
