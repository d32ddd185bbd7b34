"""The evaluator of a study on the device of a rank, tried on some batches before hours of work start."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from lossgrid import data
from lossgrid.errors import InputError
from lossgrid.evaluation import USUAL_BATCH, Device, Evaluator, Fit, twin_of, wants_channels_last
from lossgrid.run.axes import Axes
from lossgrid.run.study import Study
from lossgrid.settings import RunConfig

log = logging.getLogger(__name__)


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
        InputError: The network, the data and the loss do not fit each other.
    """
    by_hand = config.batch_size if recorded is None else recorded["batch_size"]
    channels_last = wants_channels_last(study.model)
    batches = {
        name: data.to_device(
            split,
            device=device.torch_device,
            dtype=device.dtype,
            batch_size=USUAL_BATCH if by_hand == "auto" else by_hand,
            channels_last=channels_last,
            share=share,
        )
        for name, split in study.splits.items()
    }
    twin = twin_of(study.model)
    evaluator = Evaluator.of(
        study.model, batches, study.objectives, device,
        delta=axes.delta, eta=axes.eta, reach=config.grid.reach, more=study.metrics, step=study.step,
    )  # fmt: skip
    fit = evaluator.check(config.model)
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
