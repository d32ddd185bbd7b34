"""The evaluator of a study on the device of a rank, tried on some batches before hours of work start."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from lossgrid import data, directions
from lossgrid.data.digest import digest
from lossgrid.errors import InputError, RankError
from lossgrid.evaluation import (
    FEW,
    Device,
    Evaluator,
    Fit,
    Forward,
    Subject,
    arithmetic,
    twin_of,
    usual_batch,
    wants_channels_last,
)
from lossgrid.parallel import World, broadcast, collective, collectively, shares_memory
from lossgrid.run.axes import Axes, make_axes
from lossgrid.run.claim import Claim
from lossgrid.run.common import made_once
from lossgrid.run.equipment import Equipment
from lossgrid.run.study import Study
from lossgrid.settings import RunConfig
from lossgrid.surface.origin import Digests

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """What a rank has when it can evaluate points.

    Attributes:
        study: Network, data and losses.
        axes: The directions.
        digests: Those of network, directions and data, equal on all ranks.
        evaluator: The evaluator, with the variant ``plain``.
        fit: The result of its trial.
    """

    study: Study
    axes: Axes
    digests: Digests
    evaluator: Evaluator
    fit: Fit

    def without_numbers(self) -> Prepared:
        """Return the same without samples and directions: the evaluator has them on its device."""
        return replace(self, study=self.study.without_samples(), axes=self.axes.without_numbers())


@collective
def prepare(
    claim: Claim, equipment: Equipment, *, load: Callable[[RunConfig, World], Study], device_type: str | None = None
) -> Prepared:
    """Load network and data, make the directions and the evaluator, and refuse a file of another run.

    Args:
        claim: The settings, the ranks and the surface to resume.
        equipment: The device of this rank.
        load: Loads the network and the data; all ranks call it.
        device_type: The type of device that the run is for; None for that of ``equipment``.

    Raises:
        InputError: The input is wrong, or the file is of another run.
        RankError: Some ranks failed.
    """
    config, world, device = claim.config, claim.world, equipment.device
    study = load(config, world)
    axes = make_axes(study.source, study.model, study.splits, world, axes=len(config.grid.shape), moves=study.moves)
    arithmetic.set_to(arithmetic.wanted(config.precision))  # again: users' modules may have changed it at import
    own = collectively(world, lambda: digests_of(study, axes))  # it reads samples of a Dataset
    digests = same_everywhere(world, own)
    claim.refuse_other_contents(digests, device_type or device.type)
    study = with_data_for(device, study, world)
    evaluator, fit = collectively(
        world,
        lambda: make_evaluator(config, study, axes, device, share=equipment.sharers, recorded=claim.recipe),
    )
    return Prepared(study, axes, digests, evaluator, fit)


def digests_of(study: Study, axes: Axes) -> Digests:
    """Return the digests of network, directions and data, for resuming; the network must be at theta*."""
    delta, eta = axes.digests
    splits = {name: study.digest_of(name) for name in study.splits}
    return Digests(theta=digest(directions.states(study.model)), delta=delta, eta=eta, data=splits)


@collective
def same_everywhere(world: World, digests: Digests) -> Digests:
    """Return ``digests`` after checking that all ranks have the same network, directions and data, to the bit.

    Raises:
        RankError: The digests of a rank differ from those of root.
    """
    expected = broadcast(world, digests)

    def compare() -> None:
        names = (one.name for one in fields(expected))
        different = [name for name in names if getattr(digests, name) != getattr(expected, name)]
        if different:
            raise RankError(f"{', '.join(different)} differ from those of rank 0: does every node see the same files?")

    collectively(world, compare)
    return digests


@collective
def with_data_for(device: Device, study: Study, world: World) -> Study:
    """Return a study whose data are as a CPU computes with them, which a node holds once; for a GPU as they are.

    The first rank of each node converts the data that are in memory, where that changes their dtype or memory format.
    It also reads the samples of a Dataset, where they fit, if other ranks of the node need them too.

    Raises:
        InputError: A number overflows in the dtype of the device or is not finite, or a Dataset raises.
    """
    transfer = transfer_to(device, study)
    on_cpu = study.splits if device.type == "cpu" else {}
    # Samples that are read here are in memory twice for a moment: as read, and as shared.
    most = data.room(device.torch_device) / 2 if shares_memory(world) else 0.0

    def convert() -> dict[str, data.Split]:
        there = {name: data.in_memory(split, transfer, most) for name, split in on_cpu.items()}
        return {name: split for name, split in there.items() if split is not study.splits[name]}

    converted = made_once(world, "the data as they are computed with", convert)
    return replace(study, splits={**study.splits, **converted}) if on_cpu else study


def transfer_to(device: Device, study: Study) -> data.Transfer:
    """Return what moves data to the device, in the dtype and the memory format of the network there."""
    return data.Transfer(device.torch_device, device.dtype, wants_channels_last(study.model, device))


def make_evaluator(
    config: RunConfig,
    study: Study,
    axes: Axes,
    device: Device,
    *,
    share: int,
    recorded: Mapping[str, Any] | None = None,
) -> tuple[Evaluator, Fit]:
    """Bring the network and the data to the device of this rank, and try them on some batches.

    Args:
        config: The settings.
        study: The network, which the evaluator owns from now on, the data and the losses.
        axes: The directions.
        device: The device.
        share: How many ranks take of the same memory.
        recorded: The recipe of the file to go on with; None for a new one.

    Returns:
        The evaluator, with the variant ``plain``, and the result of the trial.

    Raises:
        InputError: The network, the data and the loss do not fit each other, or batches of the user's size do
            not fit into the memory of the GPU.
        RankError: Nor does a batch of one sample.
    """
    by_hand = config.batch_size if recorded is None else recorded["batch_size"]
    transfer = transfer_to(device, study)
    twin = twin_of(study.model)
    subject = Subject.of(
        study.model, device, data.first_of(study.splits, FEW, transfer),
        forward=Forward.of(study.step, study.objectives.values(), study.metrics),
        delta=axes.delta, eta=axes.eta, reach=config.grid.reach,
    )  # fmt: skip
    size = usual_batch(device) if by_hand == "auto" else by_hand
    batches = data.all_to_device(study.splits, transfer, batch_size=size, share=share)  # what the network leaves free
    evaluator = Evaluator.of(subject, batches, study.objectives, study.metrics)
    evaluator, fit = tried(evaluator, config.model, may_shrink=by_hand == "auto")
    if not fit.deterministic:
        what = (
            f"model {config.model} gives other outputs"
            if study.step is None
            else f"step {study.step.name} other values"
        )
        log.warning("%s for the same inputs: the surface will be noisy", what)
    elif twin is not None and not evaluator.subject.follows_its_entries(twin):
        raise InputError(
            f"model {config.model}: moved, it computes other outputs than a fresh copy of it: it keeps what it made of "
            "its weights before, or reads them elsewhere than in its parameters and buffers; forward() must "
            "compute from these"
        )
    if fit.by_batch and by_hand == "auto" and study.step is not None:
        raise InputError(
            f"step {study.step.name}: a value of a sample depends on its batch, as that of a contrastive loss does, "
            "and so would the surface; give --batch-size N, which then belongs to the surface"
        )
    if fit.by_batch and by_hand == "auto":
        raise InputError(
            f"model {config.model}: the outputs of a sample depend on its batch, as with batch normalisation without "
            "running statistics or padding without a mask, and so would the surface; give --batch-size N, which then "
            "belongs to the surface"
        )
    return evaluator.with_fit(fit), fit


def tried(evaluator: Evaluator, name: str, *, may_shrink: bool) -> tuple[Evaluator, Fit]:
    """Return the result of :meth:`Evaluator.check`, and the evaluator: its batches fit into the memory of the GPU.

    Args:
        evaluator: The network and the data.
        name: The name of the network, for errors.
        may_shrink: Whether to halve batches that do not fit, down to one sample; else they are an error.

    Raises:
        InputError: The network, the data and the loss do not fit each other, or the batches do not fit.
        RankError: Not even a batch of one sample fits.
    """
    while True:
        size = evaluator.batch_size
        try:
            return evaluator, evaluator.check(name)
        except torch.cuda.OutOfMemoryError:
            full = f"does not fit into the memory of {evaluator.device.name}"
            if not may_shrink:
                raise InputError(f"--batch-size {size}: such a batch {full}; give a smaller --batch-size") from None
            if size == 1:
                raise RankError(f"a batch of one sample {full}; use a larger GPU, or fewer ranks on each") from None
        log.warning("a batch of %d samples %s: halved to %d", size, full, size // 2)
        evaluator = evaluator.with_batches_of(size // 2)
