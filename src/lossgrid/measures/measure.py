"""What is measured at a point: numbers that are summed up batch by batch, on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from lossgrid.surface import Quantity


class Measure(Protocol):
    """One or several quantities of a split.

    Attributes:
        name: What it is called.
        of_classes: It needs classes as targets, and a score for every class.
        is_recordable: It works on the device alone, so that a CUDA graph can record it.
    """

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def of_classes(self) -> bool:
        """Tell whether it needs classes as targets, and a score for every class."""

    @property
    def is_recordable(self) -> bool:
        """Tell whether it works on the device alone, so that a CUDA graph can record it."""

    def quantities(self, split: str) -> Sequence[Quantity]:
        """Return what the values mean, for a split."""

    def start(self, device: torch.device) -> torch.Tensor:
        """Return the state before the first batch, float64, of a shape that does not change."""

    def add(self, state: torch.Tensor, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Add a batch to ``state``, in place.

        Args:
            state: What :meth:`start` returned.
            outputs: What the network made of the batch.
            targets: Its targets, ``(n, ...)``.
        """

    def values(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the values after the last batch and their standard errors over the samples; NaN where not known.

        Both have shape ``(n_quantities,)``, float64, on the device.
        """
