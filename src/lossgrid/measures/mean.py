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
        """Return total and weight of nothing, shape ``(2,)``, float64."""
        return torch.zeros(2, dtype=torch.float64, device=device)

    def add(self, state: torch.Tensor, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Add total and weight of a batch."""
        terms, weight = self.terms(outputs, targets)
        state += torch.stack([terms.sum(dtype=torch.float64), as_number(weight, terms)])

    def values(self, state: torch.Tensor) -> torch.Tensor:
        """Return the mean, shape ``(1,)``, float64."""
        return state[:1] / state[1:]


def loss_of(objective: Objective) -> Mean:
    """Return the measure of a loss."""
    return Mean("loss", objective.terms, lambda split: quantity.loss(split, objective.units))
