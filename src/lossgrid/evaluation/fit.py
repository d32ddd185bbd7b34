"""Whether a network, the data and the loss fit each other, found out before hours of work start."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lossgrid import userfn
from lossgrid.data import Batches
from lossgrid.errors import InputError
from lossgrid.evaluation.device import Place
from lossgrid.evaluation.objective import Objective


@torch.inference_mode()
def check_fit(
    name: str,
    model: torch.nn.Module,
    splits: Mapping[str, Batches],
    objectives: Mapping[str, Objective],
    place: Place,
) -> bool:
    """Try the first batch of each split; return whether the network gives the same outputs twice.

    Args:
        name: What the network is called, for errors.
        model: The network, on its device.
        splits: The data, on the device.
        objectives: What to measure on each split.
        place: Device and number format.

    Raises:
        InputError: The network, its outputs or the loss do not fit the data.
    """
    deterministic = True
    for split, objective in objectives.items():
        inputs, targets = next(iter(splits[split]))
        outputs = _forward(name, model, inputs, place)
        if not isinstance(outputs, torch.Tensor) or len(outputs) != len(targets):
            given = f"shape {tuple(outputs.shape)}" if isinstance(outputs, torch.Tensor) else type(outputs).__name__
            raise InputError(
                f"model {name}: expected a tensor with {len(targets)} rows for {len(targets)} inputs of split "
                f"{split!r}, got {given}"
            )
        if objective.counts_correct:
            _check_classes(name, split, splits[split], outputs, targets)
        objective.sums(outputs, targets)
        again = _forward(name, model, inputs, place)
        deterministic &= torch.equal(outputs, again) or not bool(outputs.isfinite().all())
    return deterministic


def _check_classes(name: str, split: str, batches: Batches, outputs: torch.Tensor, targets: torch.Tensor) -> None:
    if outputs.ndim < 2 or outputs.shape[:1] + outputs.shape[2:] != targets.shape:
        raise InputError(
            f"model {name}: expected a score for every class, shape ({len(targets)}, classes), for split {split!r} "
            f"with integer targets of shape {tuple(targets.shape)}, got {tuple(outputs.shape)}"
        )
    if batches.resident:  # then all targets can be looked at for nothing
        extremes = torch.stack([torch.stack(targets.aminmax()) for _, targets in batches])
        lowest, highest = int(extremes.min()), int(extremes.max())
    else:
        lowest, highest = int(targets.min()), int(targets.max())
    if lowest < 0 or highest >= outputs.shape[1]:
        raise InputError(
            f"split {split!r} has classes {lowest}..{highest}, but model {name} gives scores for "
            f"{outputs.shape[1]}; check --model-arg num_classes"
        )


def _forward(name: str, model: torch.nn.Module, inputs: torch.Tensor, place: Place) -> torch.Tensor:
    with place.autocast():
        outputs: torch.Tensor = userfn.call(
            model, inputs, name=f"{name} on inputs of shape {tuple(inputs.shape)}", role="model"
        )
    return outputs
