"""The command line: parses options, calls one verb, prints errors as one line, returns an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer

from lossgrid import parallel
from lossgrid.cli.voice import say
from lossgrid.errors import EXIT_BAD_INPUT, EXIT_COMPLETE, EXIT_FAILED, LossgridError, did_you_mean

# Typer depends on click or contains it, by version: the base class of its own error finds click's.
UsageError: type[typer.BadParameter] = next(b for b in typer.BadParameter.__mro__ if b.__name__ == "UsageError")

VERBS = {  # name -> module of lossgrid.cli and function; only verbs with settings load pydantic
    "run": ("compute", "run"),
    "directions": ("compute", "directions"),
    "status": ("surfaces", "status"),
    "plot": ("surfaces", "plot"),
    "merge": ("surfaces", "merge"),
    "export": ("exchange", "export"),
    "import": ("exchange", "import_surface"),
    "check": ("compute", "check"),
    "job": ("job_files", "job"),
    "train": ("compute", "train"),
    "compare": ("surfaces", "compare"),
}
EXAMPLES: dict[str, Sequence[str]] = {
    "run": (
        "lossgrid run --model resnet20 --checkpoint resnet20.pt --data cifar10:data --alpha -1:1:51",
        "mpirun -n 4 lossgrid run --model resnet56 --checkpoint resnet56.pt --data cifar10:data --alpha -1:1:51 "
        "--beta -1:1:51 --splits train,test --out resnet56.h5",
        "lossgrid run --config run.toml --precision float64",
        "lossgrid run --config run.toml --dry-run",
    ),
    "directions": ("lossgrid directions --model resnet20 --checkpoint resnet20.pt --out directions.h5",),
    "status": ("lossgrid status surface.h5", "lossgrid status surface.h5 --config > run.toml"),
    "plot": ("lossgrid plot a.h5 b.h5 --label short --label long --out both.png",),
    "merge": ("lossgrid merge left.h5 right.h5 --out whole.h5",),
    "export": ("lossgrid export surface.h5 --to vtk",),
    "check": ("mpirun -n 4 lossgrid check /scratch/me",),
    "job": ("lossgrid job slurm > resnet56.sbatch",),
    "train": ("lossgrid train --model resnet20 --data digits --epochs 20 --out training",),
    "compare": ("lossgrid compare a.h5 b.h5 --json",),
    "import": ("lossgrid import surface_file.h5 --out surface.h5",),
}


def program(*names: str) -> typer.Typer:
    """Return the program with the verbs ``names``, by default all."""
    app = typer.Typer(
        name="lossgrid",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options_of_the_program)
    for name in names or VERBS:
        module, function = VERBS[name]
        verb = getattr(import_module(f"lossgrid.cli.{module}"), function)
        examples = EXAMPLES[name]
        app.command(name, epilog="\n\n".join(["Examples:" if len(examples) > 1 else "Example:", *examples]))(verb)
    return app


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"lossgrid {version('lossgrid')}")
        raise typer.Exit


def _options_of_the_program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Tell the version and end.")
    ] = False,
) -> None:
    """Loss surfaces of trained networks, L(theta* + alpha delta + beta eta), by MPI ranks into parallel HDF5."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its exit code."""
    parallel.start_mpi_on_demand()
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = program(*(name for name in given[:1] if name in VERBS))(arguments, standalone_mode=False)
    except LossgridError as error:
        say(str(error), alike=error.agreed)
        code = error.exit_code
    except UsageError as error:
        if error.format_message():  # empty after --help
            say(_of_usage(error), alike=True)
        code = EXIT_BAD_INPUT
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_FAILED
    sys.exit(code or EXIT_COMPLETE)


def _of_usage(error: Any) -> str:
    """Return the error of a command line as text, with a similar option for an unknown one."""
    if type(error).__name__ != "NoSuchOption":
        text, _, _ = str(error.format_message()).partition(", unable to parse")
        return text.replace("Input should be a valid integer", "expected a whole number").replace(
            "Input should be a valid number", "expected a number"
        )
    hint = did_you_mean(error.option_name, error.possibilities or []) or "; see --help"
    return f"no such option: {error.option_name}{hint}"
