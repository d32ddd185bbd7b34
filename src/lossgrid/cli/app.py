"""The command line: options in, one verb called, one line and an exit code out."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from typing import Any

import typer

from lossgrid import parallel
from lossgrid.cli import compute, surfaces
from lossgrid.cli.voice import say
from lossgrid.errors import EXIT_BAD_INPUT, EXIT_COMPLETE, EXIT_FAILED, LossgridError

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
for verb in (
    compute.run, compute.directions, surfaces.status, surfaces.plot, surfaces.merge, surfaces.export, compute.check,
    compute.train, surfaces.compare,
):  # fmt: skip
    app.command()(verb)
app.command("import")(surfaces.import_surface)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    parallel.start_mpi_on_demand()
    try:
        code = app(arguments, standalone_mode=False)
    except LossgridError as error:
        say(str(error), alike=error.agreed)
        code = error.exit_code
    except UsageError as error:
        if error.format_message():  # empty where the help has just been shown
            say(_of_usage(error), alike=True)
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
