"""Settings of a run, and of the directions around a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lossgrid.files import fault_of_name
from lossgrid.settings.layers import resolve
from lossgrid.settings.network import Device, NetworkConfig, Precision
from lossgrid.settings.types import MOST, AxisSetting, BatchSize, Commas, Paths, ReadPath, WrittenPath
from lossgrid.surface import Axis, Grid

Norm = Literal["filter", "layer", "weight", "none"]
Variant = Literal["auto", "plain", "folded", "fused", "compiled"]
YesNo = Literal["auto", "yes", "no"]
WriterChoice = Literal["auto", "parallel", "root"]

FLOAT32_MAX = 3.4028234663852886e38
OF_RANDOM_DIRECTIONS = ("norm", "seed", "direction_version", "perturb_bias_and_norm")

# Settings that say where and how fast a run happens, not what it computes: a resumed run may change them.
# Files are compared by the digests of what they hold, and how points are evaluated by the recipe that was chosen: the
# surface keeps both in its provenance.
FREE_TO_CHANGE = frozenset(
    {"checkpoint", "to", "device", "writer", "time_limit", "heartbeat", "out", "overwrite", "plot", "save_directions"}
    | {"variant", "batch_size", "cuda_graphs", "max_rounding", "model_seed"}
)


class ModelConfig(NetworkConfig):
    """The trained network and the directions around it: what ``lossgrid directions`` and ``lossgrid run`` share."""

    checkpoint: ReadPath | None = None
    model_seed: int = Field(default=0, ge=0, le=MOST)
    directions: str = Field(default="random", min_length=1)
    seed: int = Field(default=0, ge=0, le=MOST)
    direction_version: int = Field(default=2, ge=1, le=2)
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
            for name in OF_RANDOM_DIRECTIONS:
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

    def going_on_with(self, recorded: RunConfig) -> RunConfig:
        """Return these settings with what was left open as it was chosen for the surface that the run goes on with."""
        open_ones = {"model_seed", "direction_version"} - self.model_fields_set
        return self.model_copy(update={name: getattr(recorded, name) for name in open_ones})


def recorded(config: Mapping[str, Any]) -> RunConfig:
    """Return the settings that a surface keeps.

    Raises:
        InputError: They are none that this lossgrid knows.
    """
    before = {"model_seed": config["seed"]} if "seed" in config else {}  # there was one seed for both
    if config.get("directions") == "random":
        before["direction_version"] = 1
    return resolve(RunConfig, before, config)


class DirectionsConfig(ModelConfig):
    """Everything ``lossgrid directions`` can be told."""

    axes: int = Field(default=2, ge=1, le=2)
    out: WrittenPath = Path("directions.h5")
