"""The start of a training: the initial network and the data, both on the device."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from lossgrid import data, models
from lossgrid.data.batches import Resident
from lossgrid.errors import InputError
from lossgrid.evaluation import Device, wants_channels_last
from lossgrid.evaluation.compatibility import check_fit
from lossgrid.measures import make_objective
from lossgrid.settings import TrainConfig
from lossgrid.training.initial import draw_weights
from lossgrid.training.learner import Learner
from lossgrid.training.randomness import with_label_noise
from lossgrid.training.schedule import make_optimizer, make_schedule

Samples = dict[str, Resident]

log = logging.getLogger(__name__)


def prepare(config: TrainConfig, splits: Mapping[str, data.Split], device: Device) -> tuple[Learner, Samples]:
    """Build the network, move it and the data to the device, and check that they fit each other.

    Returns:
        The network with its optimizer and schedule, and the samples of each split.

    Raises:
        InputError: Network, data and settings do not fit each other, or the data do not fit into memory.
    """
    first = splits[config.splits[0]]
    refuse_several(splits)
    if config.augment and len(first.shape or ()) != 3:
        raise InputError(
            f"--augment {','.join(config.augment)}: expected pictures (channels, height, width), the data have samples "
            f"of shape {first.shape}; leave it out"
        )
    torch.manual_seed(config.seed)
    model = models.build(config.model, config.model_arg, facts=data.facts(splits))
    models.check_module(model, name=config.model)
    if (folder := models.own_checkpoint(config.model)) is not None:
        log.warning("--model %s: a training begins with new weights; those of %s are not read", config.model, folder)
    draw_weights(model, config.init)
    part = config.micro_batch or config.batch_size
    refuse_lone_samples(model, first.samples, config.batch_size, part)
    channels_last = wants_channels_last(model, device)
    model = model.to(device.torch_device, device.dtype)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    samples = {name: _resident(name, split, device, part, channels_last) for name, split in splits.items()}
    objectives = {
        name: make_objective(config.loss, classification=split.classification, arguments=config.loss_arg).bound_to(
            model
        )
        for name, split in splits.items()
    }
    if part < config.batch_size and any(one.by_weight for one in objectives.values()):
        raise InputError(
            f"--loss-arg {', '.join(config.loss_arg)}: --micro-batch makes a mean of each part, and parts weigh "
            "differently; leave --micro-batch out"
        )
    if any(one.needs_grad for one in objectives.values()):
        raise InputError(
            f"--loss {config.loss}: lossgrid train takes no derivatives by the inputs (needs_grad); train with code of "
            "your own, and give its checkpoints to lossgrid run"
        )
    try:
        objectives = dict(check_fit(config.model, model.eval(), samples, objectives, device).objectives)
    except torch.cuda.OutOfMemoryError:
        raise InputError(
            f"{part} samples at once do not fit into the memory of {device.name}; give --micro-batch N, less than that"
        ) from None
    if config.label_noise:
        samples[config.splits[0]] = _with_noise(config, first, samples[config.splits[0]])
    optimizer = make_optimizer(config, model.train())
    schedule = make_schedule(config, optimizer, updates(config, first.samples))
    return Learner(model, optimizer, schedule, objectives, device, part, channels_last), samples


def refuse_several(splits: Mapping[str, data.Split]) -> None:
    """Refuse data whose inputs or targets are several tensors.

    Raises:
        InputError: The inputs or targets of a split are several tensors.
    """
    for name, split in splits.items():
        if split.collate is not None:
            raise InputError(
                f"--data: lossgrid train stacks samples, split {name!r} has a collate function; train with code of "
                "your own, and give its checkpoints to lossgrid run"
            )
        if split.names != ["inputs", "targets"]:
            raise InputError(
                f"--data: lossgrid train takes one tensor of inputs and one of targets, split {name!r} has "
                f"{', '.join(split.names)}; train with code of your own, and give its checkpoints to lossgrid run"
            )


def updates(config: TrainConfig, samples: int) -> int:
    """Return the number of updates of an epoch over ``samples`` samples."""
    return math.ceil(samples / config.batch_size)


def refuse_lone_samples(model: torch.nn.Module, samples: int, batch_size: int, part: int) -> None:
    """Refuse batches of a single sample with batch normalisation, which would subtract the sample from itself.

    Raises:
        InputError: A batch, or a part of one, has a single sample.
    """
    sizes = (min(batch_size, samples), samples % batch_size or min(batch_size, samples))
    smallest = min(size // math.ceil(size / part) for size in sizes)
    if smallest == 1 and any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise InputError(
            f"--batch-size {batch_size}: of {samples} samples one would pass alone, and batch normalisation needs two; "
            "choose another --batch-size or --micro-batch"
        )


def _resident(name: str, split: data.Split, device: Device, part: int, channels_last: bool) -> Resident:
    """Return a split on the device.

    Raises:
        InputError: The split does not fit into memory.
    """
    batches = data.to_device(
        split, device=device.torch_device, dtype=device.dtype, batch_size=part, channels_last=channels_last
    )
    if not isinstance(batches, Resident):
        raise InputError(
            f"--data: split {name!r} does not fit into memory, where training keeps it; give --max-samples"
        )
    return batches


def _with_noise(config: TrainConfig, split: data.Split, samples: Resident) -> Resident:
    """Return ``samples`` with label noise.

    Raises:
        InputError: The targets are no classes.
    """
    if "ignore_index" in config.loss_arg:
        raise InputError("--label-noise draws ignored targets anew too; leave it or --loss-arg ignore_index out")
    if not split.classification:
        raise InputError(f"--label-noise {config.label_noise}: the targets of the data are no classes; leave it out")
    classes = split.num_classes or int(samples.targets.max()) + 1
    noisy = with_label_noise(samples.targets, config.label_noise, classes=classes, seed=config.seed)
    return dataclasses.replace(samples, targets=noisy)
