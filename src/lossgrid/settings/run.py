"""Settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import model_validator

from lossgrid.settings.directions import ModelConfig
from lossgrid.settings.layers import Settings, resolve
from lossgrid.settings.network import Device, MeasuredConfig, Precision, device_option, precision_option
from lossgrid.settings.option import DATA, DIRECTIONS, EVALUATION, GRID, OUTPUT, RUNNING, names_of, option
from lossgrid.settings.types import AxisSetting, BatchSize, Label, Repeated, WrittenPath
from lossgrid.surface import Axis, Grid

Variant = Literal["auto", "plain", "folded", "fused", "compiled"]
YesNo = Literal["auto", "yes", "no"]
WriterChoice = Literal["auto", "parallel", "root"]
Unit = Literal["colours", "value"]

STEP = "step"  # the loss of a run with a step
FLOAT32_MAX = 3.4028234663852886e38


class FunctionConfig(ModelConfig, MeasuredConfig):
    """The settings that decide the values of a surface at any point: network, directions, data, measures."""

    metric: Annotated[tuple[str, ...], Repeated] = option(
        (),
        metavar="NAME[=pkg.mod:function]",
        help="What to measure too: top5 or another number, error, ece, or a function of yours; repeatable.",
        group=DATA,
    )
    step: str | None = option(
        None,
        metavar="pkg.mod:function",
        help="Your step(model, batch), which returns all values by name; in place of --loss and --metric.",
        group=DATA,
    )
    precision: Precision = precision_option(EVALUATION)

    @model_validator(mode="before")
    @classmethod
    def _a_step_is_the_loss(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("step") is not None:
            return {"loss": STEP, **given}
        return given

    @model_validator(mode="after")
    def _a_step_stands_alone(self) -> FunctionConfig:
        if self.step is None:
            return self
        for name, is_set in (("loss", self.loss != STEP), ("loss-arg", self.loss_arg), ("metric", self.metric)):
            if is_set:
                raise ValueError(f"--step returns all values itself, so leave --{name} out, or --step")
        return self

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
        for name in ("metric", "move", "freeze"):
            settings[name].sort()
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
    tolerance: float | None = option(
        None,
        metavar="X",
        help="Compute only as many points as the picture needs; the others are interpolated within X, audited and "
        "marked. 0.01 is one per cent; without it every point is computed.",
        role="where",
        group=GRID,
        ge=0,
        le=1,
        allow_inf_nan=False,
    )
    tolerance_of: Unit = option(
        "colours",
        help="The unit of --tolerance: the range of the picture's colours, or each value itself.",
        role="where",
        group=GRID,
    )
    samples: int | None = option(
        None,
        metavar="N",
        help="With --tolerance: estimate points on N samples of each split, and correct the estimates by points that "
        "are computed on all. It saves work where surfaces are too rough to interpolate.",
        role="where",
        group=GRID,
        ge=1,
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
    label: Label | None = option(
        None,
        metavar="TEXT",
        help="Name of the surface in titles, tables and legends.",
        role="where",
        group=OUTPUT,
    )
    dry_run: bool = option(
        False,
        help="Compute no point and write nothing: load network and data, measure a batch, and tell time, memory and "
        "file size of the run, and what lossgrid check finds.",
        role="where",
        group=RUNNING,
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

    @model_validator(mode="after")
    def _estimates_need_a_tolerance(self) -> RunConfig:
        if self.samples is not None and not self.tolerance:
            raise ValueError("--samples needs --tolerance X, how far estimates may be off; such as --tolerance 0.01")
        return self

    @property
    def grid(self) -> Grid:
        """The points of the run."""
        return Grid(self.alpha, self.beta)

    @property
    def is_refined(self) -> bool:
        """Whether some points are interpolated."""
        return bool(self.tolerance)

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
