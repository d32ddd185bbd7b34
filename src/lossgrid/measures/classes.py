"""Measures of classes: how many samples are recognised, and how far the network's confidence can be trusted.

Classes come second in the outputs, ``(n, num_classes, ...)``. Of a sample with several targets, such as a sequence,
the fraction counts. Where an output is not finite, nothing is recognised and nothing missed: the value is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from lossgrid.measures.mean import Mean
from lossgrid.measures.objective import Terms, fraction_of_sample, full_precision
from lossgrid.surface import Quantity, quantity
from lossgrid.surface.quantity import Better

BINS = 15  # of confidence, as in Guo et al. 2017

# Which targets are recognised, and the highest score of each.
Recognised = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def accuracy() -> Mean:
    """Return the fraction of samples whose class has the highest score."""

    def recognised(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        highest, classes = outputs.max(dim=1)
        return classes == targets, highest

    return _fraction("accuracy", recognised, "higher")


def error() -> Mean:
    """Return the fraction of samples whose class has not the highest score."""

    def missed(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        highest, classes = outputs.max(dim=1)
        return classes != targets, highest

    return _fraction("error", missed, "lower")


def top(count: int) -> Mean:
    """Return the fraction of samples whose class is among those with the ``count`` highest scores."""

    def recognised(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores, best = outputs.topk(min(count, outputs.shape[1]), dim=1)
        return (best == targets.unsqueeze(1)).any(dim=1), scores.select(1, 0)

    return _fraction(f"top{count}", recognised, "higher")


def _fraction(name: str, recognised: Recognised, better: Better) -> Mean:
    def terms(outputs: torch.Tensor, targets: torch.Tensor) -> Terms:
        which, highest = recognised(outputs, targets)
        return fraction_of_sample(which, highest), len(targets)

    return Mean(name, terms, lambda split: quantity.fraction(split, name, better), of_classes=True)


@dataclass(frozen=True)
class Calibration:
    """The expected calibration error (Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3).

    Samples are put into ``bins`` bins of equal width by their confidence, the highest of the softmax. The error is the
    mean over all samples of |accuracy - confidence| of their bin. A sample with several targets counts once for each.
    """

    bins: int = BINS
    name: str = "ece"
    of_classes: bool = True
    is_recordable: bool = True

    def quantities(self, split: str) -> Sequence[Quantity]:
        """Return what the value means, for a split."""
        return (quantity.fraction(split, "ece", "lower"),)

    def start(self, device: torch.device) -> torch.Tensor:
        """Return count, confidence and recognised of each bin, shape ``(3, bins)``, float64."""
        return torch.zeros((3, self.bins), dtype=torch.float64, device=device)

    def add(self, state: torch.Tensor, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Add the samples of a batch to their bins."""
        confidence, classes = full_precision(outputs).softmax(dim=1).max(dim=1)
        right = (classes == targets).reshape(-1).to(torch.float64)
        confidence = confidence.reshape(-1).to(torch.float64)
        # In (0, 1]: the upper edge belongs to a bin. One that is not finite makes its bin NaN.
        place = ((confidence * self.bins).ceil() - 1).nan_to_num(0.0).clamp(0, self.bins - 1).long()
        parts = torch.stack([torch.ones_like(confidence), confidence, right])
        state.scatter_add_(1, place.expand(3, -1), parts)

    def values(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the error, shape ``(1,)``, float64, and NaN: its standard error has no simple form."""
        error = ((state[2] - state[1]).abs().sum() / state[0].sum()).reshape(1)
        return error, torch.full_like(error, torch.nan)
