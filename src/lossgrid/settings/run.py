"""Settings of a run, and of the directions around a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import model_validator

from lossgrid.files import fault_of_name
from lossgrid.settings.checkpoint import CheckpointConfig
from lossgrid.settings.layers import Settings, resolve
from lossgrid.settings.network import (
    Device,
    MeasuredConfig,
    Precision,
    device_option,
    precision_option,
)
from lossgrid.settings.option import (
    DATA,
    DIRECTIONS,
    EVALUATION,
    GRID,
    NETWORK,
    OUTPUT,
    RUNNING,
    names_of,
    option,
    option_of,
)
from lossgrid.settings.types import MOST, AxisSetting, BatchSize, Paths, Repeated, WrittenPath
from lossgrid.surface import Axis, Grid

Norm = Literal["filter", "layer", "weight", "none"]
Variant = Literal["auto", "plain", "folded", "fused", "compiled"]
YesNo = Literal["auto", "yes", "no"]
WriterChoice = Literal["auto", "parallel", "root"]

FLOAT32_MAX = 3.4028234663852886e38


class ModelConfig(CheckpointConfig):
    """The trained network and the directions around it: what ``lossgrid directions`` and ``lossgrid run`` share."""

    model_seed: int = option(
        0,
        metavar="N",
        help="Seed of the weights of a network without checkpoint.",
        role="contents",
        group=NETWORK,
        ge=0,
        le=MOST,
    )
    directions: str = option(
        "random",
        metavar="random|FILE|pkg.mod:f",
        help="Random directions, those of a file, or those a function of yours makes.",
        role="directions",
        group=DIRECTIONS,
        min_length=1,
    )
    seed: int = option(
        0, metavar="N", help="Seed of the random directions.", role="directions", group=DIRECTIONS, ge=0, le=MOST
    )
    direction_version: int = option(
        2,
        metavar="1|2",
        help="How random directions are drawn; 1 as in files made before.",
        role="directions",
        group=DIRECTIONS,
        ge=1,
        le=2,
    )
    norm: Norm = option(
        "filter",
        metavar="NORM",
        help="Scale of random directions: filter, layer, weight or none.",
        role="directions",
        group=DIRECTIONS,
    )
    perturb_bias_and_norm: bool = option(
        False,
        help="Also move biases and the parameters of normalisation layers.",
        role="directions",
        group=DIRECTIONS,
    )
    to: Paths = option(
        (),
        metavar="CHECKPOINT",
        help="Once: alpha leads to this checkpoint. Twice: a plane through three.",
        role="contents",
        group=DIRECTIONS,
        max_length=2,
    )
    overwrite: bool = option(False, help="Replace an existing file of another run.", role="where", group=OUTPUT)

    def about_directions(self) -> dict[str, Any]:
        """Return the settings that made the directions, for a direction file, as JSON types."""
        return self.model_dump(mode="json", include={"model", *names_of(ModelConfig, "directions")})

    @model_validator(mode="after")
    def _directions_have_one_source(self) -> ModelConfig:
        if self.to and self.directions != "random":
            raise ValueError("give either --to or --directions FILE, not both")
        if self.to and self.checkpoint is None and ":" not in self.model:
            raise ValueError("--to needs --checkpoint, the point its differences start from")
        if self.checkpoint is None and not self.to and (unused := self.about_checkpoints()):
            raise ValueError(f"{option_of(unused[0])} needs --checkpoint or --to, whose files it is for")
        if self.directions != "random":
            if fault := fault_of_name(Path(self.directions)):
                raise ValueError(f"--directions: {fault}")
            for name in sorted(names_of(type(self), "directions") - {"directions"}):
                if name in self.model_fields_set and getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"{option_of(name)} is for random directions; those of a file are used as they are"
                    )
        return self


class FunctionConfig(ModelConfig, MeasuredConfig):
    """The settings that decide the values of a surface at any point: network, directions, data, measures."""

    metric: Annotated[tuple[str, ...], Repeated] = option(
        (),
        metavar="NAME[=pkg.mod:function]",
        help="What to measure too: top5 or another number, error, ece, or a function of yours; repeatable.",
        group=DATA,
    )
    precision: Precision = precision_option(EVALUATION)

    @model_validator(mode="after")
    def _metrics_differ(self) -> FunctionConfig:
        names = [text.partition("=")[0] for text in self.metric]
        if len(set(names)) != len(names):
            raise ValueError(f"--metric needs different names, got {', '.join(names)}")
        return self

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide the values of the surface, as JSON types.

        Locations of data, directions and checkpoints are left out: digests compare their contents.
        """
        settings = self.as_json(without=names_of(type(self), "contents", "recipe", "where"))
        if self.directions != "random":
            settings["directions"] = "file"
        settings["splits"].sort()  # their order changes nothing
        settings["metric"].sort()
        return settings


class RunConfig(FunctionConfig):
    """All settings of ``lossgrid run``: options of the command line and keys of ``--config``."""

    alpha: AxisSetting = option(
        Axis(-1.0, 1.0, 51),
        metavar="MIN:MAX:N",
        help="Range along delta.",
        group=GRID,
        default_in_words="-1:1:51",
    )
    beta: AxisSetting | None = option(
        None, metavar="MIN:MAX:N", help="Range along eta; without it the surface is a line.", group=GRID
    )
    batch_size: BatchSize = option(
        "auto",
        metavar="auto|N",
        help="Samples per forward pass; auto is about 128, tuned in runs that are not short.",
        role="recipe",
        group=EVALUATION,
    )
    device: Device = device_option(EVALUATION)
    max_rounding: float = option(
        0.05,
        metavar="X",
        help="Refuse the run where a lower precision is further than X from float32: relative for losses, absolute for "
        "accuracies.",
        role="where",
        group=EVALUATION,
        ge=0,
        allow_inf_nan=False,
    )
    variant: Variant = option(
        "auto",
        metavar="VARIANT",
        help="How the network is run: plain, as it is; folded, with batch normalisation folded away; fused, also with "
        "layers, sums and activations in one kernel; compiled, by torch.compile; auto, the fastest of these that is "
        "the same function.",
        role="recipe",
        group=EVALUATION,
    )
    cuda_graphs: YesNo = option(
        "auto",
        help="Replay points as CUDA graphs; auto is where that can be.",
        role="recipe",
        group=EVALUATION,
    )
    writer: WriterChoice = option(
        "auto",
        help="All ranks write the file, or rank 0 for all; auto is all where HDF5 can.",
        role="where",
        group=OUTPUT,
    )
    time_limit: float | None = option(
        None,
        metavar="SECONDS",
        help="Stop in time, resumable (exit code 75); the end of a SLURM job counts by itself.",
        role="where",
        group=RUNNING,
        gt=0,
        allow_inf_nan=False,
    )
    heartbeat: float = option(
        20.0,
        metavar="SECONDS",
        help="End the job when a rank is silent for so long; 0 for never.",
        role="where",
        group=RUNNING,
        ge=0,
        allow_inf_nan=False,
    )
    out: WrittenPath = option(
        Path("surface.h5"),
        metavar="FILE",
        help="The surface file; resumed where it exists.",
        role="where",
        group=OUTPUT,
    )
    plot: bool = option(False, help="Draw the complete surface beside the file.", role="where", group=OUTPUT)
    save_directions: WrittenPath | None = option(
        None, metavar="FILE", help="Keep the directions in a file.", role="where", group=DIRECTIONS
    )

    @model_validator(mode="after")
    def _plane_needs_beta(self) -> RunConfig:
        if len(self.to) == 2 and self.beta is None:
            raise ValueError("--to twice spans a plane and needs --beta MIN:MAX:N")
        for name, axis in (("alpha", self.alpha), ("beta", self.beta)):
            if axis is not None and self.precision != "float64" and max(-axis.minimum, axis.maximum) > FLOAT32_MAX:
                raise ValueError(f"--{name}: float32 ends at {FLOAT32_MAX:.3g}, got {axis}; give --precision float64")
        return self

    @property
    def grid(self) -> Grid:
        """The points of the run."""
        return Grid(self.alpha, self.beta)

    def going_on_with(self, recorded: RunConfig) -> RunConfig:
        """Return these settings, with those the user left open as in the surface that the run resumes."""
        open_ones = {"model_seed", "direction_version"} - self.model_fields_set
        return self.model_copy(update={name: getattr(recorded, name) for name in open_ones})


def recorded(config: Mapping[str, Any]) -> RunConfig:
    """Return the settings of the run in the attribute of a surface.

    Raises:
        InputError: This version of lossgrid does not know them.
    """
    return _recorded(RunConfig, config)


def recorded_function(config: Mapping[str, Any]) -> FunctionConfig:
    """Return the settings that decide values, without the axes, which in a merged surface may be no range.

    Raises:
        InputError: This version of lossgrid does not know them.
    """
    of_runs = RunConfig.model_fields.keys() - FunctionConfig.model_fields.keys()
    return _recorded(FunctionConfig, {name: value for name, value in config.items() if name not in of_runs})


def _recorded(kind: type[Settings], config: Mapping[str, Any]) -> Settings:
    before = {"model_seed": config["seed"]} if "seed" in config else {}  # older versions had one seed for both
    if config.get("directions") == "random":
        before["direction_version"] = 1
    return resolve(kind, before, config)


class DirectionsConfig(ModelConfig):
    """All settings of ``lossgrid directions``."""

    axes: int = option(2, metavar="1|2", help="How many directions.", group=DIRECTIONS, ge=1, le=2)
    out: WrittenPath = option(
        Path("directions.h5"), metavar="FILE", help="The direction file.", role="where", group=OUTPUT
    )
