"""The verbs that start MPI or torch: run, directions, train, check."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from lossgrid import parallel
from lossgrid.cli.options import (
    Bias,
    Checkpoint,
    Config,
    Data,
    DataArg,
    Directions,
    DirectionVersion,
    Model,
    ModelArg,
    ModelSeed,
    Norm,
    Overwrite,
    Seed,
    To,
    named,
    settings_of,
)
from lossgrid.cli.voice import load, log_of, one_voice
from lossgrid.errors import EXIT_COMPLETE, EXIT_FAILED, EXIT_RESUMABLE, InputError
from lossgrid.machine.launcher import Launch, detect

STARTED = time.monotonic()
RESUME = "where the file was made, what was done is kept in it, and the same command goes on from there"


def run(
    model: Model = None,
    model_arg: ModelArg = None,
    checkpoint: Checkpoint = None,
    model_seed: ModelSeed = None,
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
    direction_version: DirectionVersion = None,
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
    from lossgrid.settings import RunConfig

    settings = settings_of(RunConfig, given, config)
    launch = detect()
    if launch is None and settings.writer == "parallel":
        launch = Launch("no launcher", 0, 1)
    stop = parallel.listen()
    # MPI starts before torch is loaded: on some Cray systems it cannot afterwards.
    world = parallel.alone() if launch is None else parallel.connect(launch, patience=settings.heartbeat)
    log_of(world)
    with one_voice(world, settings.heartbeat), parallel.guarded(world, settings.heartbeat, advice=RESUME):
        run_surface = load(world, "lossgrid.run").run
        return EXIT_COMPLETE if run_surface(settings, world, stop, began=STARTED) else EXIT_RESUMABLE


def directions(
    model: Model = None,
    model_arg: ModelArg = None,
    checkpoint: Checkpoint = None,
    model_seed: ModelSeed = None,
    data: Data = None,
    data_arg: DataArg = None,
    directions: Directions = None,
    norm: Norm = None,
    perturb_bias_and_norm: Bias = None,
    seed: Seed = None,
    direction_version: DirectionVersion = None,
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
    from lossgrid.settings import DirectionsConfig

    settings = settings_of(DirectionsConfig, given, config)
    log_of(parallel.alone())
    from lossgrid.run.problem import write_direction_file

    write_direction_file(settings)
    return EXIT_COMPLETE


def check(
    folder: Annotated[Path, typer.Argument(callback=named, help="Where surfaces will be written.")] = Path(),
) -> int:
    """Check MPI, parallel HDF5 and the devices; under mpirun or srun too."""
    launch = detect()
    world = parallel.alone() if launch is None else parallel.connect(launch)
    log_of(world)
    with one_voice(world), parallel.abort_guard(world):
        check_installation = load(world, "lossgrid.check").check_installation
        return EXIT_COMPLETE if check_installation(world, folder) else EXIT_FAILED


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
    from lossgrid.settings import TrainConfig

    settings = settings_of(TrainConfig, given, config)
    launch = detect()
    if launch is not None and (launch.size or launch.rank + 1) > 1:
        raise InputError("lossgrid train is one process; start it without mpirun, or with -n 1")
    with parallel.stop_on_signals() as stop:
        log_of(parallel.alone())
        from lossgrid.training import train as train_network

        return EXIT_COMPLETE if train_network(settings, stop) else EXIT_RESUMABLE
