"""The protocol of a measure: it accumulates batches in a state on the device, and returns values from that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from lossgrid.data.batch import Tree
from lossgrid.surface import Quantity


class Measure(Protocol):
    """Computes one or several quantities of a split.

    Attributes:
        name: Its name in quantities and errors.
        of_classes: It needs classes as targets, and a score of each class as outputs.
        is_recordable: It computes on the device only, so that a CUDA graph can record it.
    """

    @property
    def name(self) -> str:
        """Its name in quantities and errors."""

    @property
    def of_classes(self) -> bool:
        """Whether it needs classes as targets, and a score of each class as outputs."""

    @property
    def is_recordable(self) -> bool:
        """Whether it computes on the device only, so that a CUDA graph can record it."""

    def quantities(self, split: str) -> Sequence[Quantity]:
        """Return the quantities of a split, one for each value."""

    def start(self, device: torch.device) -> torch.Tensor:
        """Return the state before the first batch, float64, on ``device``; its shape never changes."""

    def add(self, state: torch.Tensor, outputs: torch.Tensor, targets: Tree) -> None:
        """Add a batch to ``state``, in place.

        Args:
            state: The tensor that :meth:`start` returned.
            outputs: Outputs of the network for the batch, ``(n, ...)``.
            targets: Targets of the batch: one tensor ``(n, ...)``; or a dict or tuple of such, for data with several.
        """

    def values(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the values after the last batch, and their standard errors over the samples; NaN where not known.

        Both have shape ``(n_quantities,)``, float64, on the device.
        """
