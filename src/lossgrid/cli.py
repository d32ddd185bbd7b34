"""The command line: options in, one verb called, one line and an exit code out."""

from __future__ import annotations

import difflib
import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from lossgrid import parallel
from lossgrid.errors import (
    EXIT_BAD_INPUT,
    EXIT_COMPLETE,
    EXIT_FAILED,
    EXIT_RESUMABLE,
    InputError,
    LossgridError,
    in_short,
)
from lossgrid.files import fault_of_name
from lossgrid.parallel import World
from lossgrid.text import one_line

ALIKE = ("lossgrid.data", "lossgrid.models")  # which every rank loads: root tells what there is to tell of them
LONGEST = 2000  # characters of an error
STARTED = time.monotonic()
RESUME = "where the file was made, what was done is kept in it, and the same command goes on from there"
# Typer brings click along, by its version as a dependency or as a part of itself: its errors are found through one of
# its own.
UsageError: type[typer.BadParameter] = next(b for b in typer.BadParameter.__mro__ if b.__name__ == "UsageError")

app = typer.Typer(
    name="lossgrid",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Loss surfaces of trained networks, L(theta* + alpha delta + beta eta), by MPI ranks into parallel HDF5.",
)


def _named(given: Any) -> Any:
    """Refuse names of files that no file can have."""
    return _checked(given, written=False)


def _written(given: Any) -> Any:
    """Refuse names under which no file can be written."""
    return _checked(given, written=True)


def _checked(given: Any, *, written: bool) -> Any:
    for path in given if isinstance(given, (list, tuple)) else [given]:
        if path is not None and (fault := fault_of_name(path, written=written)):
            raise InputError(f"--out: {fault}" if written else fault)
    return given


Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|pkg.mod:factory",
        help="The network: resnet20, resnet56_noshort, wrn56_4, vgg9, densenet121, mlp, ...",
    ),
]
ModelArg = Annotated[
    list[str] | None, typer.Option(metavar="K=V", help="Argument of the network's factory; repeatable.")
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Trained parameters: torch.save of a state dict, or safetensors; without it as built from the seed.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="digits|cifar10:FOLDER|pkg.mod:function",
        help="The data (default digits). Pictures must be normalised as in training: see --data-arg.",
    ),
]
DataArg = Annotated[
    list[str] | None,
    typer.Option(
        metavar="K=V",
        help="Argument of the data; repeatable. cifar10 takes normalize=li (default, the paper's), imagenet "
        "(akamaster's and torchvision's), none.",
    ),
]
Directions = Annotated[
    str | None, typer.Option(metavar="random|FILE", help="Random directions, or those of a file (default random).")
]
Norm = Annotated[
    str | None, typer.Option(metavar="filter|layer|weight|none", help="Scale of random directions (default filter).")
]
Bias = Annotated[
    bool | None,
    typer.Option("--perturb-bias-and-norm", help="Also move biases and the parameters of normalisation layers."),
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Seed of the random directions (default 0).")]
To = Annotated[
    list[Path] | None,
    typer.Option(metavar="CHECKPOINT", help="Once: alpha leads to this checkpoint. Twice: a plane through three."),
]
Overwrite = Annotated[bool | None, typer.Option("--overwrite", help="Replace an existing surface of another run.")]
Config = Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file with these options as keys.")]


@app.command()
def run(
    model: Model = None,
    model_arg: ModelArg = None,
    checkpoint: Checkpoint = None,
    data: Data = None,
    data_arg: DataArg = None,
    splits: Annotated[
        str | None, typer.Option(metavar="train[,test]", help="Splits to evaluate (default train).")
    ] = None,
    max_samples: Annotated[
        int | None, typer.Option(metavar="N", help="N samples spread evenly over each split (default all).")
    ] = None,
    loss: Annotated[
        str | None, typer.Option(metavar="cross_entropy|mse|pkg.mod:function", help="The loss (default cross_entropy).")
    ] = None,
    alpha: Annotated[str | None, typer.Option(metavar="MIN:MAX:N", help="Range along delta (default -1:1:51).")] = None,
    beta: Annotated[
        str | None, typer.Option(metavar="MIN:MAX:N", help="Range along eta; without it the surface is a line.")
    ] = None,
    directions: Directions = None,
    norm: Norm = None,
    perturb_bias_and_norm: Bias = None,
    seed: Seed = None,
    to: To = None,
    save_directions: Annotated[Path | None, typer.Option(metavar="FILE", help="Keep the directions in a file.")] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N",
            help="Samples per forward pass (default auto: about 128, tuned in runs that are not short).",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="auto|cpu|cuda", help="Where to compute (default auto: a GPU where there is one)."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="float32|tf32|bfloat16|float64", help="Arithmetic of the network (default float32)."),
    ] = None,
    max_rounding: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Refuse the run where a lower precision is further than X from float32: relative for losses, absolute "
            "for accuracies (default 0.05).",
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="auto|plain|folded|fused|compiled",
            help="How the network is run: as it is; with batch normalisation folded away; also with layers, sums and "
            "activations in one kernel; by torch.compile (default auto: the fastest that is the same function).",
        ),
    ] = None,
    cuda_graphs: Annotated[
        str | None,
        typer.Option(metavar="auto|yes|no", help="Replay points as CUDA graphs (default auto: where that can be)."),
    ] = None,
    writer: Annotated[
        str | None,
        typer.Option(
            metavar="auto|parallel|root",
            help="All ranks write the file, or rank 0 for all (default auto: all where HDF5 can).",
        ),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Stop in time, resumable (exit code 75); the end of a SLURM job counts by itself."
        ),
    ] = None,
    heartbeat: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="End the job when a rank is silent for so long (default 20.0; 0 for never)."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The surface file; resumed where it exists (default surface.h5)."),
    ] = None,
    overwrite: Overwrite = None,
    plot: Annotated[bool | None, typer.Option("--plot", help="Draw the complete surface beside the file.")] = None,
    config: Config = None,
) -> int:
    """Compute a surface, alone or under mpirun or srun; the same command resumes one that was interrupted.

    Exit codes: 0 complete, 1 failed, 2 bad input, 75 stopped early and resumable.
    """
    given = {name: value for name, value in locals().items() if name != "config"}
    from lossgrid.config import RunConfig

    settings = _settings(RunConfig, given, config)
    launch = parallel.detect()
    if launch is None and settings.writer == "parallel":
        launch = parallel.Launch("no launcher", 0, 1)
    stop = parallel.listen()
    # MPI starts before torch is loaded: on some Cray systems it cannot afterwards.
    world = parallel.alone() if launch is None else parallel.connect(launch, patience=settings.heartbeat)
    _log_of(world)
    with _one_voice(world, settings.heartbeat), parallel.guarded(world, settings.heartbeat, advice=RESUME):
        run_surface = _load(world, "lossgrid.run").run
        return EXIT_COMPLETE if run_surface(settings, world, stop, began=STARTED) else EXIT_RESUMABLE


@app.command()
def directions(
    model: Model = None,
    model_arg: ModelArg = None,
    checkpoint: Checkpoint = None,
    data: Data = None,
    data_arg: DataArg = None,
    directions: Directions = None,
    norm: Norm = None,
    perturb_bias_and_norm: Bias = None,
    seed: Seed = None,
    to: To = None,
    axes: Annotated[int | None, typer.Option(metavar="1|2", help="How many directions (default 2).")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The direction file (default directions.h5).")
    ] = None,
    overwrite: Overwrite = None,
    config: Config = None,
) -> int:
    """Make a direction file, which `lossgrid run --directions` and the reference tool read."""
    given = {name: value for name, value in locals().items() if name != "config"}
    from lossgrid.config import DirectionsConfig

    settings = _settings(DirectionsConfig, given, config)
    _log_of(parallel.alone())
    from lossgrid.problem import write_direction_file

    write_direction_file(settings)
    return EXIT_COMPLETE


@app.command()
def status(
    file: Annotated[Path, typer.Argument(callback=_named, help="A surface, also one being written.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Tell how far a surface is."""
    from lossgrid import store
    from lossgrid.status import as_lines, summarise

    summary = summarise(store.read(file))
    typer.echo(json.dumps(summary, indent=2) if as_json else "\n".join(as_lines(summary)))
    return EXIT_COMPLETE


@app.command()
def plot(
    file: Annotated[list[Path], typer.Argument(callback=_named, help="Surfaces; several are drawn side by side.")],
    kind: Annotated[
        str | None, typer.Option(metavar="line|contourf|contour|heat|surface", help="One picture instead of all.")
    ] = None,
    metric: Annotated[str | None, typer.Option(metavar="NAME", help="Such as test_loss; by default the first.")] = None,
    log: Annotated[bool | None, typer.Option("--log/--linear", help="Scale; by default what the values need.")] = None,
    vmin: Annotated[float | None, typer.Option(metavar="X", help="Lowest value of the colours.")] = None,
    vmax: Annotated[float | None, typer.Option(metavar="X", help="Highest value; above it is clipped.")] = None,
    levels: Annotated[int | None, typer.Option(metavar="N", help="Number of contours.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Name of each surface; repeatable.")] = None,
    band: Annotated[
        bool,
        typer.Option(
            "--band", help="Draw lines with the same label, such as seeds, as their mean and range; without labels all."
        ),
    ] = False,
    format: Annotated[str, typer.Option(metavar="png|pdf|svg", help="Format where --out does not say.")] = "png",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", callback=_written, help="The picture; by default beside the surface.")
    ] = None,
    overwrite: Overwrite = None,
) -> int:
    """Draw surfaces: lines, contours, heat maps, 3-D views."""
    _log_of(parallel.alone())
    from lossgrid.draw import draw_files
    from lossgrid.plot import FORMATS, KINDS

    _choose("--kind", kind, KINDS)
    _choose("--format", format, FORMATS)
    pictures = draw_files(
        file, kind=kind, metric=metric, log=log, vmin=vmin, vmax=vmax, levels=levels, labels=label or [],
        band=band, format=format, out=out, overwrite=bool(overwrite),
    )  # fmt: skip
    for picture in pictures:
        typer.echo(picture)
    return EXIT_COMPLETE


@app.command()
def merge(
    file: Annotated[list[Path], typer.Argument(callback=_named, help="Surfaces, two or more; they are only read.")],
    out: Annotated[Path, typer.Option(metavar="FILE", callback=_written, help="The surface that holds all of them.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing surface.")] = False,
) -> int:
    """Make one surface of several: parts of a grid, refinements of its axes, other splits, rows of a job array.

    Network, directions, data, loss and precision must be the same.

    Points that no file holds are pending; `lossgrid run` computes them where the axes are equally spaced.
    """
    _log_of(parallel.alone())
    from lossgrid.merge import merge_files

    merge_files(file, out, overwrite=overwrite)
    return EXIT_COMPLETE


@app.command()
def export(
    file: Annotated[Path, typer.Argument(callback=_named, help="A surface, complete or not; it is only read.")],
    to: Annotated[str, typer.Option(metavar="loss-landscape|vtk|xdmf|csv|html", help="The format.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", callback=_written, help="By default beside the surface.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="The height in vtk and html, such as test_loss.")
    ] = None,
    log: Annotated[
        bool | None, typer.Option("--log/--linear", help="Height as log10 (default: vtk linear, html by the values).")
    ] = None,
    clip: Annotated[float | None, typer.Option(metavar="X", help="Higher values become X; vtk and html.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> int:
    """Write a surface for other tools.

    loss-landscape: a file for the plots of the reference tool. vtk: a .vtp for ParaView, one metric as height. xdmf: a
    text with which ParaView opens the surface itself. csv: a row for each point. html: a page with a view to turn and
    zoom, without network.
    """
    _log_of(parallel.alone())
    from lossgrid.export import export_file

    typer.echo(export_file(file, to=to, out=out, metric=metric, log=log, clip=clip, overwrite=overwrite))
    return EXIT_COMPLETE


@app.command("import")
def import_surface(
    file: Annotated[Path, typer.Argument(callback=_named, help="A surface file of loss-landscape; it is only read.")],
    out: Annotated[Path, typer.Option(metavar="FILE", callback=_written, help="The surface to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing surface.")] = False,
) -> int:
    """Read a surface of the reference tool (tomgoldstein/loss-landscape): plot, status and export take the result.

    Such files do not say how they were computed, so that no run goes on with one. Its direction files need no import:
    lossgrid run --directions reads them.
    """
    _log_of(parallel.alone())
    from lossgrid.exchange import import_file

    import_file(file, out, overwrite=overwrite)
    return EXIT_COMPLETE


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(callback=_named, help="Where surfaces will be written.")] = Path(),
) -> int:
    """Check MPI, parallel HDF5 and the devices; under mpirun or srun too."""
    launch = parallel.detect()
    world = parallel.alone() if launch is None else parallel.connect(launch)
    _log_of(world)
    with _one_voice(world), parallel.abort_guard(world):
        check_installation = _load(world, "lossgrid.check").check_installation
        return EXIT_COMPLETE if check_installation(world, folder) else EXIT_FAILED


@app.command()
def train(
    model: Model = None,
    model_arg: ModelArg = None,
    data: Data = None,
    data_arg: DataArg = None,
    splits: Annotated[
        str | None,
        typer.Option(metavar="train[,test]", help="Splits to measure; the first is learned (default train,test)."),
    ] = None,
    max_samples: Annotated[
        int | None, typer.Option(metavar="N", help="N samples spread evenly over each split (default all).")
    ] = None,
    loss: Annotated[
        str | None, typer.Option(metavar="cross_entropy|mse|pkg.mod:function", help="The loss (default cross_entropy).")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="model|he",
            help="The weights to begin with: as the model makes them; as He et al. 2015 and the paper (default model).",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Passes over the data (default 10).")] = None,
    optimizer: Annotated[
        str | None, typer.Option(metavar="sgd|adam", help="SGD has Nesterov's momentum (default sgd).")
    ] = None,
    lr: Annotated[
        float | None, typer.Option(metavar="X", help="Learning rate; if not given 0.1 for sgd, 0.001 for adam.")
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="steps|cosine|onecycle",
            help="The learning rate: constant but for --lr-steps; falling to 0; rising to --lr first (default steps).",
        ),
    ] = None,
    lr_steps: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Epochs after which the rate is multiplied by --lr-factor.")
    ] = None,
    lr_factor: Annotated[float | None, typer.Option(metavar="X", help="What --lr-steps do (default 0.1).")] = None,
    momentum: Annotated[float | None, typer.Option(metavar="X", help="Of sgd; 0 for none (default 0.9).")] = None,
    weight_decay: Annotated[
        float | None, typer.Option(metavar="X", help="Added to the gradient as X times the weights (default 0.0005).")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="Samples of an update (default 128).")] = None,
    micro_batch: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="At most N samples at once, where memory is short; batch normalisation then sees only these.",
        ),
    ] = None,
    augment: Annotated[
        str | None, typer.Option(metavar="crop,flip", help="Shift pictures by up to an eighth; mirror every other.")
    ] = None,
    label_noise: Annotated[
        float | None, typer.Option(metavar="X", help="Share of the samples with labels drawn anew (default 0.0).")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the network and all that is random (default 0).")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="auto|cpu|cuda", help="Where to compute (default auto: a GPU where there is one)."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="float32|tf32|bfloat16|float64", help="Arithmetic of the network (default float32)."),
    ] = None,
    save_every: Annotated[
        int | None, typer.Option(metavar="N", help="Epochs between checkpoints; the last has one too (default 10).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where checkpoints go; resumed where it is (default training)."),
    ] = None,
    config: Config = None,
) -> int:
    """Train a network in one process, for its surface; the same command resumes one that was interrupted.

    FOLDER gets epoch_0000.pt, epoch_0010.pt, ..., which lossgrid run --checkpoint takes, and epochs.csv: loss and
    accuracy of each split after each epoch, in evaluation mode; where labels are drawn anew, with these.

    Exit codes: 0 complete, 1 failed, 2 bad input, 75 stopped early and resumable.
    """
    given = {name: value for name, value in locals().items() if name != "config"}
    from lossgrid.config import TrainConfig

    settings = _settings(TrainConfig, given, config)
    launch = parallel.detect()
    if launch is not None and (launch.size or launch.rank + 1) > 1:
        raise InputError("lossgrid train is one process; start it without mpirun, or with -n 1")
    with parallel.stop_on_signals() as stop:
        _log_of(parallel.alone())
        from lossgrid.training import train as train_network

        return EXIT_COMPLETE if train_network(settings, stop) else EXIT_RESUMABLE


@app.command()
def compare(
    file: Annotated[list[Path], typer.Argument(callback=_named, help="Surfaces, all lines or all planes.")],
    metric: Annotated[str | None, typer.Option(metavar="NAME", help="Such as test_loss; by default the first.")] = None,
    radius: Annotated[float, typer.Option(metavar="X", help="Within which the sharpness is taken.")] = 0.5,
    level: Annotated[
        list[str] | None,
        typer.Option(
            metavar="+X|Xx",
            help="Height above the centre of which width and area are taken; repeatable (default +0.1, +0.5, +1, 2x).",
        ),
    ] = None,
    log: Annotated[bool | None, typer.Option("--log/--linear", help="Scale of the picture.")] = None,
    vmax: Annotated[
        float | None, typer.Option(metavar="X", help="Highest value; points above it are left out of all numbers.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Name of each surface; repeatable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; no picture without --out.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets; likewise.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=_written, help="The picture; by default beside the first surface."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing picture.")] = False,
) -> int:
    """Put surfaces side by side, in a picture with one scale and in numbers.

    Loss at the centre, sharpness, width and area of the basin, roughness, curvature, deviation from convexity, local
    minima. What is meant by each is in docs/metrics.md.
    """
    if as_json and as_csv:
        raise InputError("--json and --csv exclude each other; give one of them")
    _log_of(parallel.alone())
    from lossgrid import compare as comparison

    measured = comparison.compare_files(
        file, metric=metric, radius=radius, levels=level or comparison.LEVELS, log=log, vmax=vmax, labels=label or [],
        out=out, draw=not (as_json or as_csv), overwrite=overwrite,
    )  # fmt: skip
    write = comparison.as_json if as_json else comparison.as_csv if as_csv else comparison.as_table
    typer.echo(write(measured).rstrip("\n"))
    return EXIT_COMPLETE


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    parallel.start_mpi_on_demand()
    try:
        code = app(arguments, standalone_mode=False)
    except LossgridError as error:
        _say(str(error), alike=error.agreed)
        code = error.exit_code
    except UsageError as error:
        if error.format_message():  # empty where the help has just been shown
            _say(_of_usage(error), alike=True)
        code = EXIT_BAD_INPUT
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_FAILED
    sys.exit(code or EXIT_COMPLETE)


def _of_usage(error: Any) -> str:
    """Return what is wrong with a command line; of options that do not exist, the one that was meant."""
    if type(error).__name__ != "NoSuchOption":
        text, _, _ = str(error.format_message()).partition(", unable to parse")
        return text.replace("Input should be a valid integer", "expected a whole number").replace(
            "Input should be a valid number", "expected a number"
        )
    close = difflib.get_close_matches(error.option_name, error.possibilities or [], n=1)
    return f"no such option: {error.option_name}; " + (f"did you mean {close[0]}?" if close else "see --help")


def _load(world: World, module: str) -> ModuleType:
    """Load a module that stands on torch, HDF5 and others, as late as this: a library may be missing on this machine.

    Collective: all ranks of ``world`` must call this.

    Raises:
        InputError: No rank can load it.
        RankError: Some ranks cannot.
    """

    def load() -> ModuleType:
        try:
            return import_module(module)
        except (ImportError, OSError, ValueError) as error:
            raise InputError(
                f"a library cannot be loaded ({type(error).__name__}: {in_short(error)}): activate the "
                "environment lossgrid was installed in, and load the modules, as of MPI and HDF5, it was built with"
            ) from None

    return parallel.collectively(world, load)


PATIENCE = 10.0  # s


def _say(message: str, *, alike: bool) -> None:
    """Print one line about an error that came before the ranks could talk to each other.

    Args:
        message: What is wrong.
        alike: Every rank has this error, so rank 0 speaks for all.
    """
    launch = parallel.detect()
    who = ""
    if launch is not None and launch.rank != 0:
        # Rank 0 meets the same error, and its end is mostly that of the job: who left before it might leave it no time
        # to speak. Who gets past this wait may be alone with the error, and must speak.
        time.sleep(PATIENCE)
        if alike:
            return
        who = f"rank {launch.rank}: "
    sys.stderr.write(f"lossgrid: error: {who}{one_line(message, LONGEST)}\n")


@contextmanager
def _one_voice(world: World, patience: float = 0.0) -> Iterator[None]:
    """Let rank 0 alone speak about an error all ranks have, nobody leave before it has spoken, and all end MPI."""
    try:
        yield
    except LossgridError as error:
        if world.size == 1:
            raise
        if world.is_root:
            sys.stderr.write(f"lossgrid: error: {one_line(str(error), LONGEST)}\n")
            sys.stderr.flush()
        parallel.barrier(world)
        parallel.leave(world, patience)
        raise typer.Exit(error.exit_code) from None
    parallel.leave(world, patience)


def _settings(kind: Any, given: dict[str, Any], file: Path | None) -> Any:
    """Put together the settings of the file and those of the command line, which win."""
    from lossgrid.config import read_toml, resolve

    given = {name: value for name, value in given.items() if value is not None and value != []}
    try:
        for name in ("model_arg", "data_arg"):
            if name in given:
                given[name] = dict(_pair(text, f"--{name.replace('_', '-')}") for text in given[name])
        return resolve(kind, read_toml(file) if file is not None else {}, given)
    except InputError as error:
        error.agreed = file is None  # all ranks were given the same command line; a file may differ between nodes
        raise


def _choose(option: str, given: str | None, choices: Iterable[str]) -> None:
    """Refuse what is none of the choices."""
    if given is not None and given not in choices:
        raise InputError(f"{option}: expected one of {', '.join(choices)}, got {given!r}")


def _pair(text: str, option: str) -> tuple[str, Any]:
    from lossgrid.config import read_value

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError(f"{option}: expected K=V such as width=16, got {text!r}")
    return key, read_value(value)


def _log_of(world: World) -> None:
    """Send messages to stderr: root's all, of the other ranks only warnings, each with the rank."""
    prefix = "lossgrid: " if world.size == 1 else f"lossgrid [{world.rank}/{world.size}]: "
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{prefix}%(message)s"))
    logger = logging.getLogger("lossgrid")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO if world.is_root else logging.WARNING)
    for part in ALIKE:
        logging.getLogger(part).setLevel(logging.NOTSET if world.is_root else logging.ERROR)
