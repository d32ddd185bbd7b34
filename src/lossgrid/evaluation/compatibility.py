"""Compatibility of a network, the data and the loss, checked on a few batches before a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from lossgrid import user_code
from lossgrid.data import Batches
from lossgrid.data.batch import Batch, Tree, at, leaves, shapes
from lossgrid.data.mixed import chosen, together_and_alone
from lossgrid.errors import InputError
from lossgrid.evaluation.device import Device
from lossgrid.evaluation.fit import Fit
from lossgrid.evaluation.forward import Forward
from lossgrid.evaluation.sameness import are_equal, distance
from lossgrid.measures import Labels, Metric, Objective, of_labels, refuse_loss_that_does_not_add_up
from lossgrid.measures.additive import SAME, SMALL, Part
from lossgrid.measures.gradients import with_remedy
from lossgrid.measures.outputs import (
    AS_IT_IS,
    Reading,
    are_finite,
    have_rows,
    number_fault,
    reading_of,
    refuse_sparse,
    tensors_of,
    with_tensors,
)

log = logging.getLogger(__name__)
PLAIN = Forward()
NOTHING_READ = Reading("", lambda _: None)
ARGUMENTS = ", give --loss-arg ignore_index=N for a target that does not count, class_dim=-1 for classes that come last"


@torch.inference_mode()
def check_fit(
    name: str,
    model: torch.nn.Module,
    splits: Mapping[str, Batches],
    objectives: Mapping[str, Objective],
    device: Device,
    *,
    more: Sequence[Metric] = (),
    forward: Forward = PLAIN,
) -> Fit:
    """Return the result of the checks on two batches of each split: its first, and one of spread samples.

    Args:
        name: Name of the network, for errors.
        model: The network, on its device.
        splits: The data, on the device.
        objectives: The loss of each split.
        device: The device and its precision.
        more: Measures besides the loss and the accuracy.
        forward: The forward pass of a batch.

    Raises:
        InputError: The network, its outputs or the loss do not fit the data, or the loss of a batch is not the mean
            over its samples.
    """
    deterministic, by_batch, fitting, reading = True, False, {}, AS_IT_IS

    def run(batch: Batch) -> Any:
        return _forward(name, model, batch, device, forward)

    for split, objective in objectives.items():
        first = next(iter(splits[split]))
        targets, outputs = first.targets, run(first)
        refuse_sparse(name, outputs)
        reading = _reading_for(name, split, first, outputs, objective, more)
        if not _is_by_sample(first, outputs):
            objective = _by_weight(split, first, outputs, objective)
        own = _with_accuracy_where_it_can_be(name, split, splits[split], objective, reading.read(outputs), targets)
        fitting[split] = own = own.of_outputs(reading)
        if own.check is not None:
            own.check(outputs, targets, getattr(splits[split], "targets", None))
        own.sums(outputs, targets)
        _try_measures([metric.of_outputs(reading) for metric in more], split, own, outputs, targets)
        same = are_equal(outputs, run(first)) or not are_finite(outputs)
        deterministic &= same
        indices = chosen(splits[split])
        batch = splits[split].at(indices)
        outputs = run(batch)
        if batch.size is not None:
            by_batch |= same and batch.size > 1 and _depends_on_collation(run, splits[split], own, device)
        if not _is_by_sample(batch, outputs):
            continue
        part = _parts(run, splits[split], indices, batch, outputs, again=forward.needs_grad)
        for one in (own, *(metric.objective for metric in more)):
            if one is not None and one.is_users:
                refuse_loss_that_does_not_add_up(one, split, outputs, batch.targets, part, samples=len(indices))
        if batch.size is None:
            by_batch |= same and batch.samples > 1 and _depends_on_the_batch(run, batch, outputs, device)
    return Fit(deterministic, by_batch, fitting, [metric.of_outputs(reading) for metric in more], reading.about)


def _reading_for(
    name: str, split: str, batch: Batch, outputs: Any, objective: Objective, more: Sequence[Metric]
) -> Reading:
    """Return which tensor of the outputs the built-in measures read.

    Raises:
        InputError: A measure is built-in, and no rule applies, or the tensor has not a row for each sample.
    """
    reading, expected = reading_of(outputs), f"model {name}: expected a tensor with {batch.samples} rows"
    if objective.is_users and all(metric.is_users for metric in more):
        return reading or NOTHING_READ
    if reading is None:
        raise InputError(
            f"{expected} for {batch.samples} inputs of split {split!r}, or outputs with .logits, ['logits'] or a "
            f"tensor as the first of a tuple, got {type(outputs).__name__}; give your own loss as "
            "package.module:function, which gets the outputs as they are, or wrap the network in "
            "a module that returns the tensor"
        )
    scores = reading.read(outputs)
    if fault := number_fault(scores):
        raise InputError(f"model {name}: {fault}")
    if _is_by_sample(batch, outputs) and not have_rows(scores, batch.samples):
        where = f"{reading.about} of " if reading.about else ""
        raise InputError(
            f"{expected} for {batch.samples} inputs of split {split!r}, got {where}shape {tuple(scores.shape)}"
        )
    return reading


def _parts(
    run: Callable[[Batch], Any], batches: Batches, indices: Sequence[int], batch: Batch, outputs: Any, *, again: bool
) -> Part:
    """Return a function of outputs and targets of some samples of a batch.

    Outputs with rows of samples are cut. Others, and those with derivatives, are computed anew.
    """

    def cut(index: list[int]) -> tuple[Any, Tree]:
        return with_tensors(lambda tensor: tensor[index], outputs), at(batch.targets, index)

    def anew(index: list[int]) -> tuple[Any, Tree]:
        part = batches.at([indices[i] for i in index])
        return run(part), part.targets

    return cut if have_rows(outputs, batch.samples) and not again else anew


def _is_by_sample(batch: Batch, outputs: object) -> bool:
    """Return whether the first dimension of outputs and targets is that of the samples; a collate function decides."""
    return batch.size is None or (
        have_rows(outputs, batch.size)
        and all(part.ndim > 0 and len(part) == batch.size for part in leaves(batch.targets))
    )


def _by_weight(split: str, batch: Batch, outputs: Any, objective: Objective) -> Objective:
    """Return the objective of a batch whose first dimension is not that of the samples, without accuracy.

    Raises:
        InputError: The loss is not the pair (total, weight) of a user.
    """
    if objective.is_users and isinstance(objective.terms(outputs, batch.targets)[1], torch.Tensor):
        return objective.without_accuracy()
    raise InputError(
        f"collate function: outputs {_form(outputs)} and targets {shapes(batch.targets)} for "
        f"{batch.samples} samples of split {split!r}; give the samples the first dimension, or a loss of your own that "
        "returns the pair (total, weight) of the batch"
    )


def _form(outputs: Any) -> str:
    return (
        f"of shape {tuple(outputs.shape)}" if isinstance(outputs, torch.Tensor) else f"of type {type(outputs).__name__}"
    )


def _depends_on_collation(run: Callable[[Batch], Any], batches: Batches, objective: Objective, device: Device) -> bool:
    """Return whether the loss of a collated batch differs from that of its samples, each collated alone.

    Alone a sample has no padding, or less: that is right only if network and loss leave it out.
    """

    def sums(part: Batch) -> torch.Tensor:
        return objective.without_accuracy().sums(run(part), part.targets)[0]

    batch, alone = together_and_alone(batches)
    try:
        whole, pieces = sums(batch), torch.stack([sums(part) for part in alone]).sum(dim=0)
    except InputError:  # the network accepts only batches of one size
        return True
    if not whole.isfinite().all():
        return False
    (total, weight), apart = torch.maximum(whole.abs(), pieces.abs()), (whole - pieces).abs()
    return bool(apart[1] > SAME * weight) or bool(apart[0] > max(SAME, device.format.variants) * total + SMALL * weight)


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
        state = measure.start(leaves(targets)[0].device)
        measure.add(state, outputs, targets)
        measure.values(state)


def _depends_on_the_batch(run: Callable[[Batch], Any], batch: Batch, outputs: Any, device: Device) -> bool:
    """Return whether the outputs of two halves differ from those of the whole batch, where these have rows of it."""
    if not are_finite(outputs):
        return False
    middle = -(-batch.samples // 2)
    try:
        halves = [tensors_of(run(batch.at(half))) for half in (slice(middle), slice(middle, None))]
    except InputError:  # the network accepts only batches of one size
        return True
    rows = {place: tensor for place, tensor in tensors_of(outputs).items() if have_rows(tensor, batch.samples)}
    if any(place not in half for place in rows for half in halves):
        return True
    joined = {place: torch.cat([half[place] for half in halves]) for place in rows}
    return not distance(rows, joined) <= device.format.variants


def _with_accuracy_where_it_can_be(
    name: str, split: str, batches: Batches, objective: Objective, outputs: torch.Tensor | None, targets: Tree
) -> Objective:
    """Return the objective, without accuracy where the integer targets of a user's loss are no classes.

    Raises:
        InputError: A built-in loss does not accept these outputs and targets.
    """
    labels = objective.labels
    if labels is None:
        return objective
    if outputs is None:
        log.warning(
            "no accuracy of split %r: the outputs hold no .logits, ['logits'] or tensor in the first place", split
        )
        return objective.without_accuracy()
    fault = number_fault(outputs) or labels.axis_fault(outputs, targets)
    fault = fault or _class_fault(name, split, batches, outputs, targets, labels)
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


def _forward(name: str, model: torch.nn.Module, batch: Batch, device: Device, forward: Forward) -> Any:
    with device.autocast(), with_remedy():
        return user_code.call(
            forward, model, batch, name=f"{name} on inputs of shape {shapes(batch.inputs)}", role="model"
        )
