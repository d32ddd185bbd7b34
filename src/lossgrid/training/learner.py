"""A network in training: its update by a batch, and its losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.optim.lr_scheduler import LRScheduler

from lossgrid.data import Batches
from lossgrid.evaluation import Device
from lossgrid.measures import Objective


@dataclass(frozen=True)
class Learner:
    """A network with its optimizer and schedule.

    Attributes:
        model: The network, on its device.
        optimizer: Changes its parameters.
        schedule: Sets the learning rate.
        objectives: The loss of each split.
        device: The device and its precision.
        part: Largest number of samples in a forward pass.
        channels_last: Whether channels of pictures are innermost in memory.
    """

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    objectives: Mapping[str, Objective]
    device: Device
    part: int
    channels_last: bool

    def update(self, split: str, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Update the network by the gradient of the mean loss of a batch.

        A batch of more than ``part`` samples passes in parts of about equal size; their gradients add up. Batch
        normalisation then computes its statistics over each part.

        Args:
            split: The split of the batch; its loss is used.
            inputs: Shape ``(batch, ...)``, on the device.
            targets: Shape ``(batch, ...)``, on the device.
        """
        if self.channels_last and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        parts = math.ceil(len(inputs) / self.part)
        self.optimizer.zero_grad()
        for x, y in zip(inputs.tensor_split(parts), targets.tensor_split(parts), strict=True):
            with self.device.autocast():
                outputs = self.model(x)
            terms, weight = self.objectives[split].terms(outputs, y)
            if isinstance(weight, torch.Tensor):
                weight = weight.sum()
                weight = torch.where(weight > 0, weight, torch.inf)  # no target counts: no gradient
            loss = terms.sum() * (len(y) / weight) / len(inputs)
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()

    @torch.inference_mode()
    def measure(self, splits: Mapping[str, Batches], stop: Callable[[], bool]) -> dict[str, float] | None:
        """Return ``<split>_loss`` and, for classes, ``<split>_accuracy`` of each split, in evaluation mode.

        Args:
            splits: The data, on the device.
            stop: Called between batches; the result is None once it returns True.
        """
        self.model.eval()
        found: dict[str, float] = {}
        for split, batches in splits.items():
            sums: list[torch.Tensor] = []
            for inputs, targets in batches:
                if stop():
                    return None
                with self.device.autocast():
                    outputs = self.model(inputs)
                sums.append(self.objectives[split].sums(outputs, targets))
            whole = torch.stack(sums).sum(dim=0)
            means = whole[:, 0] / whole[:, 1]
            found |= dict(zip((f"{split}_loss", f"{split}_accuracy"), means.tolist(), strict=False))
        self.model.train()
        return found

    def is_finite(self) -> bool:
        """Return whether all numbers of the network are finite."""
        numbers = [tensor for tensor in self.model.state_dict().values() if tensor.is_floating_point()]
        return bool(torch.stack([tensor.isfinite().all() for tensor in numbers]).all())
