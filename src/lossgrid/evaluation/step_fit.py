"""A user's step, tried on two batches of each split before a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import torch
from torch import nn

from lossgrid.data import Batches
from lossgrid.data.batch import Batch
from lossgrid.data.mixed import chosen
from lossgrid.errors import InputError
from lossgrid.evaluation.device import Device
from lossgrid.evaluation.fit import Fit
from lossgrid.evaluation.forward import Forward
from lossgrid.evaluation.sameness import are_equal
from lossgrid.measures import Step, fault_of_sums, refuse_loss_that_does_not_add_up
from lossgrid.measures.description import refuse_names, refuse_values_out_of_bounds
from lossgrid.measures.gradients import with_remedy
from lossgrid.measures.outputs import are_finite
from lossgrid.measures.step import Values


@torch.inference_mode()
def check_step(step: Step, forward: Forward, model: nn.Module, splits: Mapping[str, Batches], device: Device) -> Fit:
    """Return the result of the checks on two batches of each split: its first, and one of spread samples.

    A number per sample, or a pair (total, weight), may depend on the other samples of the batch, as that of a
    contrastive loss does. The mean of a batch may not: it could as well be weighted, which no batch size makes right.

    Raises:
        InputError: The step raises, its values have no use, or the mean of a batch is not that over its samples.
    """
    deterministic, by_batch, names = True, False, None
    for split, batches in splits.items():

        def run(batch: Batch) -> Values:
            with device.autocast(), with_remedy():
                found: Values = forward(model, batch)
            return found

        first = next(iter(batches))
        values = run(first)
        refuse_names(step.function, step.name, list(values))
        if names is not None and set(values) != set(names):
            raise InputError(
                f"step {step.name}: expected the same names for all splits, got {', '.join(names)} and "
                f"{', '.join(values)}"
            )
        names = names or list(values)
        refuse_values_out_of_bounds(step.function, step.name, split, values)
        deterministic &= are_equal(values, run(first)) or not are_finite(values)
        if deterministic:
            by_batch |= _depends_on_the_batch(step, split, batches, run)
    assert names is not None
    return Fit(deterministic, by_batch, dict.fromkeys(splits, step.objective()), step.metrics(names))


def _depends_on_the_batch(step: Step, split: str, batches: Batches, run: Callable[[Batch], Values]) -> bool:
    """Return whether values of spread samples differ from those of parts of them.

    Raises:
        InputError: The mean of a batch differs.
    """
    indices = chosen(batches)
    whole = run(batches.at(indices))

    @cache
    def of(positions: tuple[int, ...]) -> Values:
        return run(batches.at([indices[i] for i in positions]))

    def part(index: list[int]) -> tuple[Values, None]:
        return of(tuple(index)), None

    depends = False
    for name, (terms, weight) in whole.items():
        is_mean = isinstance(weight, int) and len(terms) == 1
        check = refuse_loss_that_does_not_add_up if is_mean else fault_of_sums
        try:
            depends |= check(step.objective(name), split, whole, None, part, samples=len(indices)) is not None
        except InputError:
            if is_mean:
                raise
            return True  # the step accepts only batches of one size
    return depends
