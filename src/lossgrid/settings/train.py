"""Settings of a training."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lossgrid.settings.network import Device, NetworkConfig, Precision
from lossgrid.settings.types import MOST, Commas, ReadPath

Optimizer = Literal["sgd", "adam"]
Schedule = Literal["steps", "cosine", "onecycle"]
Init = Literal["model", "he"]
Augmentation = Literal["crop", "flip"]


class TrainConfig(NetworkConfig):
    """Everything ``lossgrid train`` can be told."""

    splits: Annotated[tuple[str, ...], Commas] = Field(default=("train", "test"), min_length=1)
    max_samples: int | None = Field(default=None, ge=1, le=MOST)
    loss: str = Field(default="cross_entropy", min_length=1)
    seed: int = Field(default=0, ge=0, le=MOST)
    init: Init = "model"
    epochs: int = Field(default=10, ge=1, le=9999)  # of four digits, as in the names of checkpoints
    optimizer: Optimizer = "sgd"
    lr: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    schedule: Schedule = "steps"
    lr_steps: Annotated[tuple[int, ...], Commas] = ()
    lr_factor: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0, allow_inf_nan=False)
    batch_size: int = Field(default=128, ge=1, le=MOST)
    micro_batch: int | None = Field(default=None, ge=1, le=MOST)
    augment: Annotated[tuple[Augmentation, ...], Commas] = ()
    label_noise: float = Field(default=0.0, ge=0, le=1)
    device: Device = "auto"
    precision: Precision = "float32"
    save_every: int = Field(default=10, ge=1, le=MOST)
    out: ReadPath = Path("training")

    @model_validator(mode="after")
    def _settings_fit_each_other(self) -> TrainConfig:
        if len(set(self.splits)) != len(self.splits) or not all(self.splits):
            raise ValueError(f"--splits needs different names such as train,test, got {','.join(self.splits)!r}")
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
                raise ValueError(f"--{name.replace('_', '-')} belongs to {owner}; leave it out")
        return self

    @property
    def rate(self) -> float:
        """The learning rate to begin with, or with ``onecycle`` the highest: as given, or what the optimizer takes."""
        return self.lr if self.lr is not None else {"sgd": 0.1, "adam": 0.001}[self.optimizer]

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide what is learned, as JSON types.

        How many epochs there are is one of them only where the learning rate follows from it.
        """
        free = {"device", "save_every", "out"} | ({"epochs"} if self.schedule == "steps" else set())
        settings = self.model_dump(mode="json", exclude=free) | {"lr": self.rate}
        if self.data.startswith("cifar10:"):
            settings["data"] = "cifar10"
        return settings


def _commas(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))
