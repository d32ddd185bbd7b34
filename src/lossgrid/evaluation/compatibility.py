"""Compatibility of a network, the data and the loss, checked on a few batches before a run."""

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
from lossgrid.evaluation.device import Device
from lossgrid.evaluation.sameness import distance
from lossgrid.measures import Labels, Metric, Objective, of_labels, refuse_loss_that_does_not_add_up

log = logging.getLogger(__name__)
NO_GRADIENT = "does not require grad"
ARGUMENTS = ", give --loss-arg ignore_index=N for a target that does not count, class_dim=-1 for classes that come last"
WITHOUT_GRADIENT = "points are evaluated without gradients: take derivatives by torch.func.jvp or torch.func.jacrev"


@dataclass(frozen=True)
class Fit:
    """The result of the checks of a network on its data.

    Attributes:
        deterministic: Two passes of the same inputs return the same outputs.
        by_batch: The outputs of a sample depend on the other samples of its batch.
        objectives: The loss of each split, without accuracy where a user's loss has no classes.
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
    device: Device,
    *,
    more: Sequence[Metric] = (),
) -> Fit:
    """Return the result of the checks on two batches of each split: its first, and one of spread samples.

    Args:
        name: Name of the network, for errors.
        model: The network, on its device.
        splits: The data, on the device.
        objectives: The loss of each split.
        device: The device and its precision.
        more: Measures besides the loss and the accuracy.

    Raises:
        InputError: The network, its outputs or the loss do not fit the data, or the loss of a batch is not the mean
            over its samples.
    """
    deterministic, by_batch, fitting = True, False, {}
    for split, objective in objectives.items():
        inputs, targets = next(iter(splits[split]))
        outputs, rows = _forward(name, model, inputs, device), count(inputs)
        if not isinstance(outputs, torch.Tensor) or len(outputs) != rows:
            given = f"shape {tuple(outputs.shape)}" if isinstance(outputs, torch.Tensor) else type(outputs).__name__
            advice = "" if isinstance(outputs, torch.Tensor) else "; wrap it in a module that returns the tensor"
            raise InputError(
                f"model {name}: expected a tensor with {rows} rows for {rows} inputs of split "
                f"{split!r}, got {given}{advice}"
            )
        fitting[split] = own = _with_accuracy_where_it_can_be(name, split, splits[split], objective, outputs, targets)
        if own.check is not None:
            own.check(outputs, targets, getattr(splits[split], "targets", None))
        own.sums(outputs, targets)
        _try_measures(more, split, own, outputs, targets)
        again = _forward(name, model, inputs, device)
        same = torch.equal(outputs, again) or not bool(outputs.isfinite().all())
        deterministic &= same
        inputs, targets = mixed(splits[split])
        outputs = _forward(name, model, inputs, device)
        if own.is_users:
            refuse_loss_that_does_not_add_up(own, split, outputs, targets)
        for metric in more:
            if metric.objective is not None:
                refuse_loss_that_does_not_add_up(metric.objective, split, outputs, targets)
        by_batch |= same and count(inputs) > 1 and _depends_on_the_batch(name, model, inputs, outputs, device)
    return Fit(deterministic, by_batch, fitting)


def _try_measures(
    more: Sequence[Metric], split: str, objective: Objective, outputs: torch.Tensor, targets: Tree
) -> None:
    """Try the additional measures on a batch.

    Raises:
        InputError: A measure needs classes and the split has none, or a user's measure fails.
    """
    for measure in (metric.measure for metric in more):
        if measure.of_classes and objective.labels is None:
            raise InputError(f"--metric {measure.name} is of classes, and split {split!r} has none; leave it out")
        measure = of_labels(measure, objective.labels)
        state = measure.start(outputs.device)
        measure.add(state, outputs, targets)
        measure.values(state)


def _depends_on_the_batch(
    name: str, model: torch.nn.Module, inputs: Tree, outputs: torch.Tensor, device: Device
) -> bool:
    """Return whether the outputs of two halves differ from those of the whole batch."""
    if not outputs.isfinite().all():
        return False
    try:
        halves = [_forward(name, model, half, device) for half in divided(inputs, 2)]
    except InputError:  # the network accepts only batches of one size
        return True
    return not distance(outputs, torch.cat(halves)) <= device.format.variants


def _with_accuracy_where_it_can_be(
    name: str, split: str, batches: Batches, objective: Objective, outputs: torch.Tensor, targets: Tree
) -> Objective:
    """Return the objective, without accuracy where the integer targets of a user's loss are no classes.

    Raises:
        InputError: A built-in loss does not accept these outputs and targets.
    """
    labels = objective.labels
    if labels is None:
        return objective
    fault = _axis_fault(outputs, targets, labels) or _class_fault(name, split, batches, outputs, targets, labels)
    if fault is None:
        return objective
    if objective.is_users:
        log.warning("no accuracy of split %r: %s", split, fault)
        return objective.without_accuracy()
    advice = "" if objective.name != "cross_entropy" else ARGUMENTS
    raise InputError(
        f"model {name}: {fault}; check --model-arg num_classes{advice}, or give your own loss as "
        "package.module:function, which returns a number per sample or the pair (total, weight) of the batch"
    )


def _axis_fault(outputs: torch.Tensor, targets: torch.Tensor, labels: Labels) -> str | None:
    """Return why the classes are not in the dimension of the labels, or dimension 1 is not the only candidate."""
    shape, wanted = tuple(outputs.shape), tuple(targets.shape)
    if labels.dimension == -1:
        expected = f"({', '.join(map(str, (*wanted, 'classes')))})"
        return None if shape[:-1] == wanted else f"expected a score for every class, shape {expected}, got {shape}"
    ends = sorted({1, len(shape) - 1} - {0, -1})  # the classes are in dimension 1, as in torch, or in the last one
    axes = [axis for axis in ends if shape[:axis] + shape[axis + 1 :] == wanted]
    if 1 not in axes:
        where = f"; dimension {axes[0]} could be the classes, which are expected in dimension 1" if axes else ""
        expected = f"({', '.join(map(str, (wanted[0], 'classes', *wanted[1:])))})"
        return (
            f"expected a score for every class, shape {expected}, for integer targets of shape {wanted}, got "
            f"{shape}{where}"
        )
    if len(axes) > 1 and labels.dimension is None:
        return (
            f"outputs of shape {shape} can be read in {len(axes)} ways for targets of shape {wanted}: classes in "
            f"dimension {' or in dimension '.join(map(str, axes))}"
        )
    return None


def _class_fault(
    name: str, split: str, batches: Batches, outputs: torch.Tensor, targets: torch.Tensor, labels: Labels
) -> str | None:
    """Return an error text if targets that count are outside the classes of the outputs; None otherwise."""
    known = [targets for _, targets in batches] if batches.resident else [targets]  # in memory: the check is cheap
    counted = [part if labels.ignored is None else part[labels.counted(part)] for part in known]
    extremes = [torch.stack(part.aminmax()) for part in counted if part.numel()]
    classes = labels.scores(outputs).shape[1]
    if not extremes:
        return None
    ends = torch.stack(extremes)
    lowest, highest = int(ends.min()), int(ends.max())
    if lowest >= 0 and highest < classes:
        return None
    return f"split {split!r} has classes {lowest}..{highest}, but model {name} gives scores for {classes}"


def _forward(name: str, model: torch.nn.Module, inputs: Tree, device: Device) -> torch.Tensor:
    with device.autocast():
        try:
            outputs: torch.Tensor = user_code.call(
                call, model, inputs, name=f"{name} on inputs of shape {shapes(inputs)}", role="model"
            )
        except InputError as error:
            if NO_GRADIENT in str(error):
                raise InputError(f"{error}; {WITHOUT_GRADIENT}") from error
            raise
    return outputs
