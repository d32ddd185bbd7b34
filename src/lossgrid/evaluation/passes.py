"""The pass of all batches through a network at its present point; the values stay on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Protocol

import torch

from lossgrid.data import Batch
from lossgrid.evaluation.device import Device
from lossgrid.evaluation.network import Network
from lossgrid.measures import Measure

Tick = Callable[[], object]
Measures = Mapping[str, Sequence[Measure]]  # by split, in the order of the surface


class Passing(Protocol):
    """Passes batches into states: launching each kernel, or replaying CUDA graphs."""

    @property
    def states(self) -> Mapping[str, Sequence[torch.Tensor]]:
        """The states of the measures of each split."""

    def start(self) -> None:
        """Update the network's weights from those of the module, and reset the states."""

    def add(self, split: str, batch: Batch) -> None:
        """Pass a batch and add it to the states of ``split``."""


class Launched:
    """The pass of batches, kernel by kernel."""

    def __init__(self, network: Network, measures: Measures, device: Device) -> None:
        """Make the states of ``measures`` on the device; ``network`` is the variant that runs."""
        self._network, self._measures, self._device = network, measures, device
        self.states = {split: [one.start(device.torch_device) for one in own] for split, own in measures.items()}

    def start(self) -> None:
        """Update the network's weights from those of the module."""
        self._network.refresh()

    def add(self, split: str, batch: Batch) -> None:
        """Pass a batch and add it to the states of ``split``."""
        with self._device.autocast():
            outputs = self._network(batch)
        for measure, state in zip(self._measures[split], self.states[split], strict=True):
            measure.add(state, outputs, batch.targets)


def measure(
    network: Network,
    batches: Mapping[str, Iterable[Batch]],
    measures: Measures,
    passing: Passing,
    *,
    tick: Tick = lambda: None,
    most: int | None = None,
) -> torch.Tensor:
    """Return the values of ``network`` at its present point.

    Sums are float64 and stay on the device; the host reads nothing, so that the device never waits for it.

    Args:
        network: The variant that runs.
        batches: The data of each split, on the device.
        measures: The measures of each split.
        passing: Passes the batches.
        tick: Called between batches.
        most: Number of batches of each split; all by default.

    Returns:
        The values and their standard errors over the samples, shape ``(2, n_quantities)``, float64, on the device. All
        are NaN where the scale of a folded part is not finite.
    """
    passing.start()
    for split in measures:
        for batch in islice(batches[split], most):
            passing.add(split, batch)
            tick()
    pairs = [
        one.values(state)
        for split, own in measures.items()
        for one, state in zip(own, passing.states[split], strict=True)
    ]
    found = torch.stack([torch.cat([pair[row] for pair in pairs]) for row in (0, 1)])
    for poison in network.poison():
        found = found + poison
    return found
