"""Whether a network, the data and the loss fit each other, found out before hours of work start."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from lossgrid import user_code
from lossgrid.data import Batches
from lossgrid.data.batch import Tree, count, divided, shapes
from lossgrid.data.mixed import mixed
from lossgrid.errors import InputError
from lossgrid.evaluation.calling import call
from lossgrid.evaluation.device import Place
from lossgrid.evaluation.sameness import SAME, distance
from lossgrid.measures import Metric, Objective, refuse_loss_that_does_not_add_up

log = logging.getLogger(__name__)
NO_GRADIENT = "does not require grad"
WITHOUT_GRADIENT = "points are evaluated without gradients: take derivatives by torch.func.jvp or torch.func.jacrev"


@dataclass(frozen=True)
class Fit:
    """What was found out about a network on its data.

    Attributes:
        deterministic: The network gives the same outputs twice.
        by_batch: The outputs of a sample depend on the other samples of its batch.
        objectives: What can be measured on each split: without accuracy where a user's loss is not of classes.
    """

    deterministic: bool
    by_batch: bool
    objectives: Mapping[str, Objective]


@torch.inference_mode()
def check_fit(
    name: str,
    model: torch.nn.Module,
    splits: Mapping[str, Batches],
    objectives: Mapping[str, Objective],
    place: Place,
    *,
    more: Sequence[Metric] = (),
) -> Fit:
    """Try the first batch of each split, and one of samples from all over it.

    Args:
        name: What the network is called, for errors.
        model: The network, on its device.
        splits: The data, on the device.
        objectives: What to measure on each split.
        place: Device and number format.
        more: What else to measure.

    Raises:
        InputError: The network, its outputs or the loss do not fit the data; or the loss of a batch is not the mean of
            its samples.
    """
    deterministic, by_batch, fitting = True, False, {}
    for split, objective in objectives.items():
        inputs, targets = next(iter(splits[split]))
        outputs, rows = _forward(name, model, inputs, place), count(inputs)
        if not isinstance(outputs, torch.Tensor) or len(outputs) != rows:
            given = f"shape {tuple(outputs.shape)}" if isinstance(outputs, torch.Tensor) else type(outputs).__name__
            advice = "" if isinstance(outputs, torch.Tensor) else "; wrap it in a module that returns the tensor"
            raise InputError(
                f"model {name}: expected a tensor with {rows} rows for {rows} inputs of split "
                f"{split!r}, got {given}{advice}"
            )
        fitting[split] = own = _with_accuracy_where_it_can_be(name, split, splits[split], objective, outputs, targets)
        own.sums(outputs, targets)
        _try_measures(more, split, own, outputs, targets)
        again = _forward(name, model, inputs, place)
        same = torch.equal(outputs, again) or not bool(outputs.isfinite().all())
        deterministic &= same
        inputs, targets = mixed(splits[split])
        outputs = _forward(name, model, inputs, place)
        if own.is_users:
            refuse_loss_that_does_not_add_up(own, split, outputs, targets)
        for metric in more:
            if metric.objective is not None:
                refuse_loss_that_does_not_add_up(metric.objective, split, outputs, targets)
        by_batch |= same and count(inputs) > 1 and _depends_on_the_batch(name, model, inputs, outputs, place)
    return Fit(deterministic, by_batch, fitting)


def _try_measures(
    more: Sequence[Metric], split: str, objective: Objective, outputs: torch.Tensor, targets: Tree
) -> None:
    """Measure a batch.

    Raises:
        InputError: A measure of classes meets none, or a user's fails.
    """
    for measure in (metric.measure for metric in more):
        if measure.of_classes and not objective.counts_correct:
            raise InputError(f"--metric {measure.name} is of classes, and split {split!r} has none; leave it out")
        state = measure.start(outputs.device)
        measure.add(state, outputs, targets)
        measure.values(state)


def _depends_on_the_batch(name: str, model: torch.nn.Module, inputs: Tree, outputs: torch.Tensor, place: Place) -> bool:
    """Tell whether the outputs of two halves are those of the whole."""
    if not outputs.isfinite().all():
        return False
    try:
        halves = [_forward(name, model, half, place) for half in divided(inputs, 2)]
    except InputError:  # a network for batches of one size
        return True
    return not distance(outputs, torch.cat(halves)) <= SAME[place.precision]


def _with_accuracy_where_it_can_be(
    name: str, split: str, batches: Batches, objective: Objective, outputs: torch.Tensor, targets: Tree
) -> Objective:
    """Return the objective as it can be measured: a user's loss may take integers that are no classes.

    Raises:
        InputError: The built-in losses cannot take these outputs and targets.
    """
    if not objective.counts_correct:
        return objective
    fault = _axis_fault(outputs, targets) or _class_fault(name, split, batches, outputs, targets)
    if fault is None:
        return objective
    if objective.is_users:
        log.warning("no accuracy of split %r: %s", split, fault)
        return objective.without_accuracy()
    raise InputError(
        f"model {name}: {fault}; check --model-arg num_classes, or give your own loss as package.module:function, "
        "which returns a number per sample or the pair (total, weight) of the batch"
    )


def _axis_fault(outputs: torch.Tensor, targets: torch.Tensor) -> str | None:
    """Say why dimension 1 of the outputs cannot be that of the classes; None where it can, and no other."""
    shape, wanted = tuple(outputs.shape), tuple(targets.shape)
    ends = sorted({1, len(shape) - 1} - {0, -1})  # classes come second, as torch has them, or last
    axes = [axis for axis in ends if shape[:axis] + shape[axis + 1 :] == wanted]
    if 1 not in axes:
        where = f"; dimension {axes[0]} could be the classes, which are expected in dimension 1" if axes else ""
        expected = f"({', '.join(map(str, (wanted[0], 'classes', *wanted[1:])))})"
        return (
            f"expected a score for every class, shape {expected}, for integer targets of shape {wanted}, got "
            f"{shape}{where}"
        )
    if len(axes) > 1:
        return (
            f"outputs of shape {shape} can be read in {len(axes)} ways for targets of shape {wanted}: classes in "
            f"dimension {' or in dimension '.join(map(str, axes))}"
        )
    return None


def _class_fault(name: str, split: str, batches: Batches, outputs: torch.Tensor, targets: torch.Tensor) -> str | None:
    """Say which targets are not among the classes the outputs have scores for; None where all are."""
    if batches.resident:  # then all targets can be looked at for nothing
        extremes = torch.stack([torch.stack(targets.aminmax()) for _, targets in batches])
        lowest, highest = int(extremes.min()), int(extremes.max())
    else:
        lowest, highest = int(targets.min()), int(targets.max())
    if lowest >= 0 and highest < outputs.shape[1]:
        return None
    return f"split {split!r} has classes {lowest}..{highest}, but model {name} gives scores for {outputs.shape[1]}"


def _forward(name: str, model: torch.nn.Module, inputs: Tree, place: Place) -> torch.Tensor:
    with place.autocast():
        try:
            outputs: torch.Tensor = user_code.call(
                call, model, inputs, name=f"{name} on inputs of shape {shapes(inputs)}", role="model"
            )
        except InputError as error:
            if NO_GRADIENT in str(error):
                raise InputError(f"{error}; {WITHOUT_GRADIENT}") from error
            raise
    return outputs
