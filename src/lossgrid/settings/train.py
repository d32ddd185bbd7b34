"""Settings of a training."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import model_validator

from lossgrid.settings.network import (
    Device,
    MeasuredConfig,
    Precision,
    device_option,
    precision_option,
    splits_option,
)
from lossgrid.settings.option import LEARNING, RUNNING, names_of, option, option_of
from lossgrid.settings.types import MOST, Commas, ReadPath

Optimizer = Literal["sgd", "adam"]
Schedule = Literal["steps", "cosine", "onecycle"]
Init = Literal["model", "he"]
Augmentation = Literal["crop", "flip"]


class TrainConfig(MeasuredConfig):
    """All settings of ``lossgrid train``."""

    splits: Annotated[tuple[str, ...], Commas] = splits_option(
        ("train", "test"), "Splits to measure; the first is learned."
    )
    seed: int = option(
        0, metavar="N", help="Seed of the network and all that is random.", group=LEARNING, ge=0, le=MOST
    )
    init: Init = option(
        "model",
        help="The weights to begin with: as the model makes them; as He et al. 2015 and the paper.",
        group=LEARNING,
    )
    epochs: int = option(
        10,
        metavar="N",
        help="Passes over the data.",
        group=LEARNING,
        ge=1,
        le=9999,  # of four digits, as in the names of checkpoints
    )
    optimizer: Optimizer = option("sgd", help="SGD has Nesterov's momentum.", group=LEARNING)
    lr: float | None = option(
        None,
        metavar="X",
        help="Learning rate.",
        group=LEARNING,
        default_in_words="0.1 for sgd, 0.001 for adam",
        gt=0,
        allow_inf_nan=False,
    )
    schedule: Schedule = option(
        "steps",
        help="The learning rate: constant but for --lr-steps; falling to 0; rising to --lr first.",
        group=LEARNING,
    )
    lr_steps: Annotated[tuple[int, ...], Commas] = option(
        (), metavar="N,N,...", help="Epochs after which the rate is multiplied by --lr-factor.", group=LEARNING
    )
    lr_factor: float = option(0.1, metavar="X", help="What --lr-steps do.", group=LEARNING, gt=0, allow_inf_nan=False)
    momentum: float = option(0.9, metavar="X", help="Of sgd; 0 for none.", group=LEARNING, ge=0, lt=1)
    weight_decay: float = option(
        5e-4,
        metavar="X",
        help="Added to the gradient as X times the weights.",
        group=LEARNING,
        ge=0,
        allow_inf_nan=False,
    )
    batch_size: int = option(128, metavar="N", help="Samples of an update.", group=LEARNING, ge=1, le=MOST)
    micro_batch: int | None = option(
        None,
        metavar="N",
        help="At most N samples at once, where memory is short; batch normalisation then sees only these.",
        group=LEARNING,
        ge=1,
        le=MOST,
    )
    augment: Annotated[tuple[Augmentation, ...], Commas] = option(
        (), metavar="crop,flip", help="Shift pictures by up to an eighth; mirror every other.", group=LEARNING
    )
    label_noise: float = option(
        0.0, metavar="X", help="Share of the samples with labels drawn anew.", group=LEARNING, ge=0, le=1
    )
    device: Device = device_option(RUNNING)
    precision: Precision = precision_option(RUNNING)
    save_every: int = option(
        10,
        metavar="N",
        help="Epochs between checkpoints; the last has one too.",
        role="where",
        group=RUNNING,
        ge=1,
        le=MOST,
    )
    out: ReadPath = option(
        Path("training"),
        metavar="FOLDER",
        help="Where checkpoints go; resumed where it is.",
        role="where",
        group=RUNNING,
    )

    @model_validator(mode="after")
    def _settings_fit_each_other(self) -> TrainConfig:
        if any(b <= a for a, b in pairwise((0, *self.lr_steps))):
            raise ValueError(f"--lr-steps needs rising epochs such as 150,225,275, got {_commas(self.lr_steps)}")
        if self.micro_batch is not None and self.micro_batch > self.batch_size:
            raise ValueError(f"--micro-batch is at most --batch-size, {self.batch_size}, got {self.micro_batch}")
        for name, owner, other in (
            ("lr_steps", "--schedule steps", self.schedule != "steps"),
            ("lr_factor", "--schedule steps", self.schedule != "steps"),
            ("momentum", "--optimizer sgd", self.optimizer != "sgd"),
        ):
            if other and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{option_of(name)} belongs to {owner}; leave it out")
        return self

    @property
    def rate(self) -> float:
        """The initial learning rate, with ``onecycle`` the highest: ``lr``, or the default of the optimizer."""
        return self.lr if self.lr is not None else {"sgd": 0.1, "adam": 0.001}[self.optimizer]

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide the learned weights, as JSON types.

        The number of epochs is one of them only if the learning rate depends on it.
        """
        free = {*names_of(type(self), "where"), *({"epochs"} if self.schedule == "steps" else ())}
        return self.as_json(without=free) | {"lr": self.rate}


def _commas(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))
