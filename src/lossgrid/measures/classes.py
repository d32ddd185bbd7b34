"""Measures of classes: accuracy, error, top-k accuracy, and the calibration of the network's confidence.

Outputs have the classes as their second dimension, ``(n, num_classes, ...)``. A sample with several targets, such as a
sequence, counts by the fraction of its targets. If an output is not finite, the value is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from lossgrid.data.batch import Tree
from lossgrid.measures.labels import Labels
from lossgrid.measures.mean import Mean
from lossgrid.measures.measure import Measure
from lossgrid.measures.objective import Terms, fraction_of_sample, full_precision, right_of_sample, sum_of_sample
from lossgrid.surface import Quantity, quantity
from lossgrid.surface.quantity import Better

BINS = 15  # bins of confidence, as in Guo et al. 2017; other numbers give other calibration errors

# From outputs and targets: which targets are recognised, and the highest score for each target.
Recognised = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def recognised(labels: Labels) -> Callable[[torch.Tensor, torch.Tensor], Terms]:
    """Return the terms of the fraction of targets whose class has the highest score.

    They are the fraction of each sample, and n; if a target is ignored, the number of each sample's targets that are
    recognised, and the number that count, ``(n,)`` each.
    """

    def terms(outputs: torch.Tensor, targets: torch.Tensor) -> Terms:
        highest, classes = labels.scores(outputs).max(dim=1)
        which = classes == targets
        if labels.ignored is None:
            return fraction_of_sample(which, highest), len(targets)
        counted = labels.counted(targets)
        return right_of_sample(which & counted, highest), sum_of_sample(counted)

    return terms


def error() -> Mean:
    """Return the measure of the fraction of samples whose class does not have the highest score."""

    def missed(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        highest, classes = outputs.max(dim=1)
        return classes != targets, highest

    return _fraction("error", missed, "lower")


def top(count: int) -> Mean:
    """Return the measure of the fraction of samples whose class is among the ``count`` highest scores."""

    def among(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores, best = outputs.topk(min(count, outputs.shape[1]), dim=1)
        return (best == targets.unsqueeze(1)).any(dim=1), scores.select(1, 0)

    return _fraction(f"top{count}", among, "higher")


def _fraction(name: str, found: Recognised, better: Better) -> Mean:
    def terms(outputs: torch.Tensor, targets: torch.Tensor) -> Terms:
        which, highest = found(outputs, targets)
        return fraction_of_sample(which, highest), len(targets)

    return Mean(name, terms, lambda split: quantity.fraction(split, name, better), of_classes=True)


@dataclass(frozen=True)
class Calibration:
    """The expected calibration error (Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3).

    Each sample falls into one of ``bins`` bins of equal width by its confidence, the maximum of the softmax. The error
    is the mean over all samples of |accuracy - confidence| of their bin. Each target of a sample counts once.
    """

    bins: int = BINS
    name: str = "ece"
    of_classes: bool = True
    is_recordable: bool = True

    def quantities(self, split: str) -> Sequence[Quantity]:
        """Return the quantity of a split."""
        return (quantity.fraction(split, "ece", "lower"),)

    def start(self, device: torch.device) -> torch.Tensor:
        """Return zeros for each bin's count, sum of confidences and number recognised, ``(3, bins)``, float64."""
        return torch.zeros((3, self.bins), dtype=torch.float64, device=device)

    def add(self, state: torch.Tensor, outputs: torch.Tensor, targets: Tree) -> None:
        """Add the targets of a batch, one tensor of classes, to their bins."""
        confidence, classes = full_precision(outputs).softmax(dim=1).max(dim=1)
        right = (classes == targets).reshape(-1).to(torch.float64)
        confidence = confidence.reshape(-1).to(torch.float64)
        # A bin includes its upper edge, not its lower one. A confidence of NaN goes to bin 0, which becomes NaN.
        index = ((confidence * self.bins).ceil() - 1).nan_to_num(0.0).clamp(0, self.bins - 1).long()
        parts = torch.stack([torch.ones_like(confidence), confidence, right])
        state.scatter_add_(1, index.expand(3, -1), parts)

    def values(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the calibration error, shape ``(1,)``, float64, and NaN: its standard error has no simple form."""
        error = ((state[2] - state[1]).abs().sum() / state[0].sum()).reshape(1)
        return error, torch.full_like(error, torch.nan)


@dataclass(frozen=True)
class Counted:
    """A measure of classes over the targets that count, each once; its standard error is not known if some do not."""

    measure: Measure
    labels: Labels
    of_classes: bool = True

    @property
    def name(self) -> str:
        """Its name in quantities and errors."""
        return self.measure.name

    @property
    def is_recordable(self) -> bool:
        """Whether it computes on the device only: the number of targets that count is read by the host."""
        return self.measure.is_recordable and self.labels.ignored is None

    def quantities(self, split: str) -> Sequence[Quantity]:
        """Return the quantities of a split."""
        return self.measure.quantities(split)

    def start(self, device: torch.device) -> torch.Tensor:
        """Return the state before the first batch."""
        return self.measure.start(device)

    def add(self, state: torch.Tensor, outputs: torch.Tensor, targets: Tree) -> None:
        """Add the targets of a batch that count."""
        self.measure.add(state, *self.labels.read(outputs, targets))

    def values(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the values and their standard errors; NaN for the errors if a target is ignored."""
        values, errors = self.measure.values(state)
        return values, errors if self.labels.ignored is None else torch.full_like(errors, torch.nan)
