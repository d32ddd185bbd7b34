"""The command line: options in, one verb called, one line and an exit code out."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from lossgrid import parallel
from lossgrid.errors import EXIT_BAD_INPUT, EXIT_COMPLETE, EXIT_FAILED, EXIT_RESUMABLE, InputError, LossgridError
from lossgrid.parallel import World

STARTED = time.monotonic()
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
    str | None, typer.Option(metavar="digits|cifar10:FOLDER|pkg.mod:function", help="The data (default digits).")
]
DataArg = Annotated[list[str] | None, typer.Option(metavar="K=V", help="Argument of the data; repeatable.")]
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
        int | None, typer.Option(metavar="N", help="The first N samples of each split (default all).")
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
        float | None, typer.Option(metavar="SECONDS", help="Stop in time, resumable (exit code 75).")
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
    # MPI starts before torch is loaded: on some Cray systems it cannot afterwards.
    world = parallel.alone() if launch is None else parallel.connect(launch)
    _log_of(world)
    from lossgrid.run import run as run_surface

    with _one_voice(world):
        return EXIT_COMPLETE if run_surface(settings, world, began=STARTED) else EXIT_RESUMABLE


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
    file: Annotated[Path, typer.Argument(help="A surface, also one being written.")],
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
    file: Annotated[list[Path], typer.Argument(help="Surfaces; several are drawn side by side.")],
    kind: Annotated[
        str | None, typer.Option(metavar="line|contourf|contour|heat|surface", help="One picture instead of all.")
    ] = None,
    metric: Annotated[str | None, typer.Option(metavar="NAME", help="Such as test_loss; by default the first.")] = None,
    log: Annotated[bool | None, typer.Option("--log/--linear", help="Scale; by default what the values need.")] = None,
    vmin: Annotated[float | None, typer.Option(metavar="X", help="Lowest value of the colours.")] = None,
    vmax: Annotated[float | None, typer.Option(metavar="X", help="Highest value; above it is clipped.")] = None,
    levels: Annotated[int | None, typer.Option(metavar="N", help="Number of contours.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Name of each surface; repeatable.")] = None,
    format: Annotated[str, typer.Option(metavar="png|pdf|svg", help="Format where --out does not say.")] = "png",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The picture; by default beside the surface.")
    ] = None,
    overwrite: Overwrite = None,
) -> int:
    """Draw surfaces: lines, contours, heat maps, 3-D views."""
    _log_of(parallel.alone())
    from lossgrid.draw import draw_files

    pictures = draw_files(
        file, kind=kind, metric=metric, log=log, vmin=vmin, vmax=vmax, levels=levels, labels=label or [],
        format=format, out=out, overwrite=bool(overwrite),
    )  # fmt: skip
    for picture in pictures:
        typer.echo(picture)
    return EXIT_COMPLETE


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Where surfaces will be written.")] = Path(),
) -> int:
    """Check MPI, parallel HDF5 and the devices; under mpirun or srun too."""
    launch = parallel.detect()
    world = parallel.alone() if launch is None else parallel.connect(launch)
    _log_of(world)
    from lossgrid.check import check_installation

    with _one_voice(world):
        return EXIT_COMPLETE if check_installation(world, folder) else EXIT_FAILED


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    parallel.start_mpi_on_demand()
    try:
        code = app(arguments, standalone_mode=False)
    except LossgridError as error:
        _say(str(error))
        code = error.exit_code
    except UsageError as error:
        if error.format_message():  # empty where the help has just been shown
            _say(error.format_message())
        code = EXIT_BAD_INPUT
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_FAILED
    sys.exit(code or EXIT_COMPLETE)


PATIENCE = 10.0  # s


def _say(message: str) -> None:
    """Print one line about an error that came before the ranks could talk to each other."""
    launch = parallel.detect()
    who = ""
    if launch is not None and launch.rank != 0:
        # Rank 0 meets the same error and ends the job. Who gets past this wait is alone with it, and must speak.
        time.sleep(PATIENCE)
        who = f"rank {launch.rank}: "
    sys.stderr.write(f"lossgrid: error: {who}{' '.join(message.split())}\n")


@contextmanager
def _one_voice(world: World) -> Iterator[None]:
    """Let rank 0 alone speak about an error all ranks have, and nobody leave before it has spoken."""
    try:
        yield
    except LossgridError as error:
        if world.size == 1:
            raise
        if world.is_root:
            sys.stderr.write(f"lossgrid: error: {error}\n")
            sys.stderr.flush()
        parallel.barrier(world)
        raise typer.Exit(error.exit_code) from None


def _settings(kind: Any, given: dict[str, Any], file: Path | None) -> Any:
    """Put together the settings of the file and those of the command line, which win."""
    from lossgrid.config import read_toml, resolve

    given = {name: value for name, value in given.items() if value is not None and value != []}
    for name in ("model_arg", "data_arg"):
        if name in given:
            given[name] = dict(_pair(text, f"--{name.replace('_', '-')}") for text in given[name])
    return resolve(kind, read_toml(file) if file is not None else {}, given)


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
