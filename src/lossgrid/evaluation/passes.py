"""The pass of all batches through a network at its present point; the values stay on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice

import torch

from lossgrid.data import Batches
from lossgrid.evaluation.device import Device
from lossgrid.evaluation.network import Network
from lossgrid.measures import Measure

Tick = Callable[[], object]
Measures = Mapping[str, Sequence[Measure]]  # by split, in the order of the surface


def measure(
    network: Network,
    batches: Mapping[str, Batches],
    measures: Measures,
    device: Device,
    *,
    tick: Tick = lambda: None,
    most: int | None = None,
) -> torch.Tensor:
    """Return the values of ``network`` at its present point.

    Sums are float64 and stay on the device; the host reads nothing, so that a CUDA graph can record the pass.

    Args:
        network: The variant that runs.
        batches: The data of each split, on the device.
        measures: The measures of each split.
        device: The device and its precision.
        tick: Called between batches.
        most: Number of batches of each split; all by default.

    Returns:
        The values and their standard errors over the samples, shape ``(2, n_quantities)``, float64, on the device. All
        are NaN where the scale of a folded part is not finite.
    """
    network.refresh()
    by_split = [_of_split(network, batches[split], own, device, tick, most) for split, own in measures.items()]
    found = torch.stack([torch.cat([part for values in by_split for part in values[row]]) for row in (0, 1)])
    for poison in network.poison():
        found = found + poison
    return found


def _of_split(
    network: Network, batches: Batches, measures: Sequence[Measure], device: Device, tick: Tick, most: int | None
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    states = [measure.start(device.torch_device) for measure in measures]
    for batch in islice(batches, most):
        with device.autocast():
            outputs = network(batch)
        for measure, state in zip(measures, states, strict=True):
            measure.add(state, outputs, batch.targets)
        tick()
    found = [measure.values(state) for measure, state in zip(measures, states, strict=True)]
    return [values for values, _ in found], [errors for _, errors in found]
