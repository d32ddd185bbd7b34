"""The training loop: from settings to a folder of checkpoints; it resumes a stopped training."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping
from typing import Any

import torch

from lossgrid import data
from lossgrid.data.batches import Resident
from lossgrid.directions import copied, states
from lossgrid.errors import InputError, LossgridError, shown
from lossgrid.evaluation import choose_device, share_threads, warn_of_sharing
from lossgrid.files import locked
from lossgrid.machine.allocator import freed_memory_kept
from lossgrid.machine.resources import own_resources
from lossgrid.parallel import Stop
from lossgrid.progress import ProgressDisplay
from lossgrid.settings import TrainConfig
from lossgrid.training import folder
from lossgrid.training.augmentation import augmented, make_augmentation
from lossgrid.training.folder import Row, State
from lossgrid.training.learner import Learner
from lossgrid.training.preparation import Samples, prepare, updates
from lossgrid.training.randomness import draw_epoch, seed_network
from lossgrid.training.resumption import resume
from lossgrid.wording import duration

log = logging.getLogger(__name__)
BEFORE: Mapping[str, Any] = {"loss_arg": {}}  # settings that older trainings do not have


def train(config: TrainConfig, stop: Stop) -> bool:
    """Train a network, or resume the training in its folder; return whether all epochs are done.

    Args:
        config: The settings.
        stop: Whether to stop after the present update.

    Raises:
        InputError: The input is wrong; no file has been changed.
        LossgridError: The network diverged, or writing failed; the files written before remain.
    """
    folder.check(config.out)
    with locked(config.out), freed_memory_kept():
        old = folder.read(config.out) if folder.check(config.out) else None
        if old is not None:
            refuse_other(config, {**BEFORE, **old.settings}, config.identity())
        device = choose_device(config.device, config.precision, local_rank=0)
        own = own_resources(rank=0, host=socket.gethostname(), device=device.model, uuid=device.uuid, launched=False)
        warn_of_sharing([own])
        threads = share_threads([own], 0)
        splits = data.load(config.data, config.data_arg, splits=config.splits, max_samples=config.max_samples)
        origin = {f"data of split {name}": split.digest() for name, split in splits.items()}
        origin |= {"device": device.type}
        if old is not None:
            refuse_other(config, old.origin, origin)
            if old.origin["threads"] != threads:
                log.warning(
                    "%s was begun with %s CPU threads, now there are %s: last bits may differ",
                    config.out, old.origin["threads"], threads,
                )  # fmt: skip
        learner, samples = prepare(config, splits, device)
        log.info("%s, %d threads, %s", device.name, threads, config.precision)
        return train_epochs(config, learner, samples, origin | {"threads": threads}, old, stop)


def refuse_other(config: TrainConfig, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuse to resume a training with other settings or other data.

    Raises:
        InputError: A value of ``ours`` differs; the text names all differences.
    """
    found = [
        f"the {name} differ"
        if name.startswith("data of")
        else f"{name.replace('_', '-')} is {shown(theirs.get(name))} there and {value} now"
        for name, value in ours.items()
        if theirs.get(name) != value
    ]
    if found:
        raise InputError(f"--out: {config.out} holds another training: {'; '.join(found)}; choose another folder")


def train_epochs(
    config: TrainConfig,
    learner: Learner,
    samples: Samples,
    origin: Mapping[str, Any],
    old: State | None,
    stop: Stop,
) -> bool:
    """Train the remaining epochs and write each to the folder; return whether all are done.

    Raises:
        InputError: The stored training is of another network, or had diverged.
        LossgridError: The network diverged, or writing failed.
    """
    history: list[Row] = []
    batch, seconds = 0, 0.0
    if old is not None:
        resume(config, learner, old, updates(config, samples[config.splits[0]].samples))
        history, batch, seconds = list(old.history), old.batch, old.seconds

    def state() -> State:
        return State(
            settings=config.identity(), origin=origin, history=history, batch=batch, seconds=seconds,
            state_dict=copied(states(learner.model)), optimizer=learner.optimizer.state_dict(),
            schedule=learner.schedule.state_dict(),
        )  # fmt: skip

    announce(config, samples[config.splits[0]].samples, old)
    if old is None:
        folder.write(config.out, state())  # before all other files: it marks the folder as a training
    for epoch in range(len(history), config.epochs + 1):
        began = time.monotonic() - seconds
        batch = learn(config, learner, samples[config.splits[0]], epoch, batch, stop) if epoch else 0
        found = None if stop else learner.measure(samples, lambda: bool(stop))
        seconds = time.monotonic() - began
        if found is None:
            folder.write(config.out, state())
            log.warning(
                "stopped by %s after %d updates of epoch %d; run the same command again to go on",
                stop.signal.name if stop.signal else "a signal", batch, epoch,
            )  # fmt: skip
            return False
        if not learner.is_finite():
            raise LossgridError(
                f"the network diverged in epoch {epoch} of {config.epochs}: it holds numbers that are not finite; give "
                f"another folder and a smaller --lr than {config.rate:g}"
            )
        history.append({"epoch": epoch, **found, "seconds": round(seconds, 3)})
        left = f"; {duration((config.epochs - epoch) * seconds)} left" if 0 < epoch < config.epochs else ""
        log.info("epoch %d of %d: %s%s", epoch, config.epochs, in_words(found), left)
        batch, seconds = 0, 0.0
        folder.write_epoch(config.out, state(), checkpoint=epoch % config.save_every == 0 or epoch == config.epochs)
    log.info("%s is complete: %d epochs", config.out, len(history) - 1)
    return True


def announce(config: TrainConfig, samples: int, old: State | None) -> None:
    """Log the remaining work, and the effect of micro-batches on batch normalisation."""
    count = updates(config, samples)
    log.info(
        "%s %s: %d of %d epochs are done; %d samples of split %s, %d %s an epoch",
        "training" if old is None else "resuming", config.out, 0 if old is None else max(0, len(old.history) - 1),
        config.epochs, samples, config.splits[0], count, "update" if count == 1 else "updates",
    )  # fmt: skip
    if config.micro_batch is not None and min(config.batch_size, samples) > config.micro_batch:
        log.info(
            "batches of %d pass in parts of at most %d: batch normalisation takes its statistics from the parts",
            config.batch_size, config.micro_batch,
        )  # fmt: skip


def learn(config: TrainConfig, learner: Learner, samples: Resident, epoch: int, batch: int, stop: Stop) -> int:
    """Do the remaining updates of an epoch, until a stop signal; return how many are done.

    Args:
        config: The settings.
        learner: The network; it is changed.
        samples: The training split, on the device.
        epoch: From 1.
        batch: Number of updates already done in this epoch.
        stop: Whether to stop after the present update.

    Raises:
        LossgridError: The memory of the GPU is too small for the batch.
    """
    count, device = updates(config, samples.samples), samples.inputs.device
    drawn = draw_epoch(config.seed, epoch, samples.samples)
    augmentation = make_augmentation(drawn, config.augment, samples.inputs.shape[1:], device)
    order = torch.split(torch.from_numpy(drawn.order).to(device), config.batch_size)
    with ProgressDisplay(count - batch, "batches") as display:
        for done in range(batch, count):
            chosen = order[done]
            inputs = samples.inputs[chosen] if augmentation is None else augmented(samples.inputs, augmentation, chosen)
            seed_network(config.seed, epoch, done)
            try:
                learner.update(config.splits[0], inputs, samples.targets[chosen])
            except torch.cuda.OutOfMemoryError:
                raise LossgridError(
                    f"the GPU has too little memory for {learner.part} samples at once; give another folder and a "
                    "smaller --micro-batch"
                ) from None
            display.update(done + 1 - batch)
            if stop:
                return done + 1
    return count


def in_words(found: Mapping[str, float]) -> str:
    """Return the values of an epoch as text: ``train loss 0.0312, train accuracy 0.993``."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in found.items())
