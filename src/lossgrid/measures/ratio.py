"""Measures that are a ratio of two sums over samples: losses and accuracies of the targets that count."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lossgrid.data.batch import Tree
from lossgrid.measures.summed import Summed


@dataclass(frozen=True)
class Ratio(Summed):
    """The sum of the totals of all samples, divided by the sum of their weights.

    ``terms(outputs, targets)`` returns the totals and the weights of the samples, shape ``(n,)`` each.
    """

    def start(self, device: torch.device) -> torch.Tensor:
        """Return zeros for the sums of t, w, t^2, t w, w^2 and 1 over samples, shape ``(6,)``, float64."""
        return torch.zeros(6, dtype=torch.float64, device=device)

    def add(self, state: torch.Tensor, outputs: torch.Tensor, targets: Tree) -> None:
        """Add the sums of a batch."""
        total, weight = (torch.as_tensor(part).double() for part in self.terms(outputs, targets))
        state += torch.stack(
            [
                total.sum(), weight.sum(), total.dot(total), total.dot(weight), weight.dot(weight),
                torch.full_like(state[0], len(total)),
            ]
        )  # fmt: skip

    def values(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the ratio r and its standard error over the samples, both of shape ``(1,)``, float64.

        The error is that of the ratio estimator: its variance is n / (n - 1) times the sum of (t - r w)^2 over the
        samples, divided by the square of the sum of w. A sample counts once, however many targets it has.
        """
        total, weight, squares, products, weights, count = state.chunk(6)
        ratio = total / weight
        deviation = (squares - 2 * ratio * products + ratio.square() * weights).clamp(min=0)
        error = (deviation * count / (count - 1)).sqrt() / weight
        return ratio, torch.where(count > 1, error, torch.nan)
