"""The settings of a run: one frozen model, filled from a TOML file and the command line, checked before work starts."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lossgrid.complaint import in_one_line
from lossgrid.errors import InputError, in_short
from lossgrid.files import fault_of_name, read_file, shown
from lossgrid.grid import Axis, Grid
from lossgrid.setting import MOST, Arguments, AxisSetting, BatchSize, Commas, Paths, ReadPath, WrittenPath

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Norm = Literal["filter", "layer", "weight", "none"]
Device = Literal["auto", "cpu", "cuda"]
Variant = Literal["auto", "plain", "folded", "fused", "compiled"]
YesNo = Literal["auto", "yes", "no"]
Precision = Literal["float32", "tf32", "bfloat16", "float64"]
WriterChoice = Literal["auto", "parallel", "root"]
Optimizer = Literal["sgd", "adam"]
Schedule = Literal["steps", "cosine", "onecycle"]
Init = Literal["model", "he"]
Augmentation = Literal["crop", "flip"]

FLOAT32_MAX = 3.4028234663852886e38
LARGEST_TOML = 2**24  # bytes

# Settings that say where and how fast a run happens, not what it computes: a resumed run may change them.
# Files are compared by the digests of what they hold, and how points are evaluated by the recipe that was chosen: the
# surface keeps both in its provenance.
FREE_TO_CHANGE = frozenset(
    {"checkpoint", "to", "device", "writer", "time_limit", "heartbeat", "out", "overwrite", "plot", "save_directions"}
    | {"variant", "batch_size", "cuda_graphs", "max_rounding"}
)


class NetworkConfig(BaseModel):
    """A network and the data it is for: what all settings share."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())

    model: str = Field(min_length=1)
    model_arg: Arguments = Field(default_factory=dict)
    data: str = "digits"
    data_arg: Arguments = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0, le=MOST)


class ModelConfig(NetworkConfig):
    """The trained network and the directions around it: what ``lossgrid directions`` and ``lossgrid run`` share."""

    checkpoint: ReadPath | None = None
    directions: str = Field(default="random", min_length=1)
    norm: Norm = "filter"
    perturb_bias_and_norm: bool = False
    to: Paths = Field(default=(), max_length=2)
    overwrite: bool = False

    @model_validator(mode="after")
    def _directions_have_one_source(self) -> ModelConfig:
        if self.to and self.directions != "random":
            raise ValueError("give either --to or --directions FILE, not both")
        if self.to and self.checkpoint is None and ":" not in self.model:
            raise ValueError("--to needs --checkpoint, the point its differences start from")
        if self.directions != "random":
            if fault := fault_of_name(Path(self.directions)):
                raise ValueError(f"--directions: {fault}")
            for name in ("norm", "seed", "perturb_bias_and_norm"):
                if name in self.model_fields_set and getattr(self, name) != type(self).model_fields[name].default:
                    option = name.replace("_", "-")
                    raise ValueError(f"--{option} is for random directions; those of a file are used as they are")
        return self


class RunConfig(ModelConfig):
    """Everything ``lossgrid run`` can be told; the command line's options and the keys of ``--config`` are these."""

    splits: Annotated[tuple[str, ...], Commas] = Field(default=("train",), min_length=1)
    max_samples: int | None = Field(default=None, ge=1, le=MOST)
    loss: str = Field(default="cross_entropy", min_length=1)
    alpha: AxisSetting = Axis(-1.0, 1.0, 51)
    beta: AxisSetting | None = None
    batch_size: BatchSize = "auto"
    device: Device = "auto"
    precision: Precision = "float32"
    max_rounding: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    variant: Variant = "auto"
    cuda_graphs: YesNo = "auto"
    writer: WriterChoice = "auto"
    time_limit: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    heartbeat: float = Field(default=20.0, ge=0, allow_inf_nan=False)
    out: WrittenPath = Path("surface.h5")
    plot: bool = False
    save_directions: WrittenPath | None = None

    @model_validator(mode="after")
    def _plane_needs_beta(self) -> RunConfig:
        if len(self.to) == 2 and self.beta is None:
            raise ValueError("--to twice spans a plane and needs --beta MIN:MAX:N")
        if len(set(self.splits)) != len(self.splits) or not all(self.splits):
            raise ValueError(f"--splits needs different names such as train,test, got {','.join(self.splits)!r}")
        for name, axis in (("alpha", self.alpha), ("beta", self.beta)):
            if axis is not None and self.precision != "float64" and max(-axis.minimum, axis.maximum) > FLOAT32_MAX:
                raise ValueError(f"--{name}: float32 ends at {FLOAT32_MAX:.3g}, got {axis}; give --precision float64")
        return self

    @property
    def grid(self) -> Grid:
        """The points of the run."""
        return Grid(self.alpha, self.beta)

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide the values of the surface, as JSON types.

        Where data and directions lie is left out, like the paths of checkpoints: their digests tell whether they
        differ.
        """
        settings = self.model_dump(mode="json", exclude=set(FREE_TO_CHANGE))
        if self.directions != "random":
            settings["directions"] = "file"
        if self.data.startswith("cifar10:"):
            settings["data"] = "cifar10"
        settings["splits"].sort()  # their order changes nothing
        return settings


class DirectionsConfig(ModelConfig):
    """Everything ``lossgrid directions`` can be told."""

    axes: int = Field(default=2, ge=1, le=2)
    out: WrittenPath = Path("directions.h5")


class TrainConfig(NetworkConfig):
    """Everything ``lossgrid train`` can be told."""

    splits: Annotated[tuple[str, ...], Commas] = Field(default=("train", "test"), min_length=1)
    max_samples: int | None = Field(default=None, ge=1, le=MOST)
    loss: str = Field(default="cross_entropy", min_length=1)
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


def read_toml(path: Path) -> dict[str, Any]:
    """Read settings from a TOML file; dashes and underscores in keys are the same.

    Raises:
        InputError: The file cannot be read or is not TOML.
    """
    content = read_file(path, most=LARGEST_TOML + 1, what="--config:")
    if len(content) > LARGEST_TOML:
        raise InputError(f"--config: {shown(path)} is no file of settings: it has more than {LARGEST_TOML} bytes")
    try:
        table = tomllib.loads(content.decode())
    except RecursionError:
        raise InputError(f"--config: {shown(path)} is not TOML of settings: it has too many brackets") from None
    except ValueError as error:  # of the text, its characters, its numbers
        raise InputError(f"--config: {shown(path)} is not TOML: {shown(in_short(error))}") from None
    return {key.replace("-", "_"): value for key, value in table.items()}


def read_value(text: str) -> Any:
    """Read ``V`` of ``--model-arg K=V`` as TOML would: number, true/false, list; anything else is text.

    So are the words of TOML that are more likely meant as such: ``inf``, ``nan``, dates, numbers with a comment.

    >>> read_value("3"), read_value("[8, 8]"), read_value("inf"), read_value("1#2")
    (3, [8, 8], 'inf', '1#2')
    """
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = table["value"]
    if isinstance(value, (bool, int, float)):
        return value if len(table) == 1 and "#" not in text and math.isfinite(value) else text
    return value if len(table) == 1 and isinstance(value, (str, list, dict)) else text


def resolve(kind: type[NetworkConfig], *layers: Mapping[str, Any]) -> Any:
    """Build the settings from ``layers``, the later ones winning key by key; arguments (``K=V``) are merged.

    Raises:
        InputError: A key is unknown, missing, or has a value it cannot have.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            merged[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    try:
        return kind(**merged)
    except ValidationError as error:
        raise InputError(in_one_line(kind, error)) from None
