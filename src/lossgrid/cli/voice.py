"""Messages to the user: the log, and one line per error, from rank 0 if all ranks have it."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

import typer

from lossgrid import parallel
from lossgrid.errors import InputError, LossgridError, in_short
from lossgrid.machine.launcher import detect
from lossgrid.parallel import World, collective
from lossgrid.wording import one_line

# Loggers of what every rank loads: only root logs their warnings.
ALIKE = ("lossgrid.data", "lossgrid.models", "lossgrid.readers")
LONGEST = 2000  # characters of an error
PATIENCE = 10.0  # seconds, in which other ranks wait for rank 0 to print an error


@collective
def load(world: World, module: str) -> ModuleType:
    """Return a module that needs torch, HDF5 or others; loaded late, as a library may be missing on this machine.

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


def say(message: str, *, alike: bool) -> None:
    """Print one line about an error from before MPI started.

    Args:
        message: The error.
        alike: Whether every rank has it, so that rank 0 prints it for all.
    """
    launch = detect()
    prefix = ""
    if launch is not None and launch.rank != 0:
        # Rank 0 prints the same error, and its exit usually ends the job. Exiting earlier could kill it before it
        # prints. A rank that survives this wait may be the only one with the error, so it prints too.
        time.sleep(PATIENCE)
        if alike:
            return
        prefix = f"rank {launch.rank}: "
    sys.stderr.write(f"lossgrid: error: {prefix}{one_line(message, LONGEST)}\n")


@contextmanager
def one_voice(world: World, patience: float = 0.0) -> Iterator[None]:
    """Print an error of all ranks on rank 0 only; the others wait for it, then all finalize MPI."""
    try:
        yield
    except LossgridError as error:
        if world.size == 1:
            raise
        if world.is_root:
            sys.stderr.write(f"lossgrid: error: {one_line(str(error), LONGEST)}\n")
            sys.stderr.flush()
        parallel.barrier(world)
        parallel.finalize(world, patience)
        raise typer.Exit(error.exit_code) from None
    parallel.finalize(world, patience)


def log_of(world: World) -> None:
    """Log to stderr with the rank: all messages of root, warnings of the other ranks."""
    prefix = "lossgrid: " if world.size == 1 else f"lossgrid [{world.rank}/{world.size}]: "
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{prefix}%(message)s"))
    logger = logging.getLogger("lossgrid")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO if world.is_root else logging.WARNING)
    for part in ALIKE:
        logging.getLogger(part).setLevel(logging.NOTSET if world.is_root else logging.ERROR)
