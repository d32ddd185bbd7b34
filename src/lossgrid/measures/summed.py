"""Measures that sum the terms of batches: what means and ratios have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lossgrid.measures.objective import Terms
from lossgrid.surface import Quantity


@dataclass(frozen=True)
class Summed:
    """One quantity of a split, from sums of terms.

    Attributes:
        name: Its name in quantities and errors.
        terms: ``terms(outputs, targets)`` returns the terms of a batch; the kinds of measures say which.
        meaning: ``meaning(split)`` returns the quantity of a split.
        of_classes: It needs classes as targets, and a score of each class as outputs.
        is_recordable: It computes on the device only, so that a CUDA graph can record it.
    """

    name: str
    terms: Callable[..., Terms]
    meaning: Callable[[str], Quantity]
    of_classes: bool = False
    is_recordable: bool = True

    def quantities(self, split: str) -> Sequence[Quantity]:
        """Return the quantity of a split."""
        return (self.meaning(split),)
