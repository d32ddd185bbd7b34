"""What the program says: its log, and one line about an error, from rank 0 where all ranks have it."""

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

# What every rank loads: root tells what there is to tell of it.
ALIKE = ("lossgrid.data", "lossgrid.models", "lossgrid.readers")
LONGEST = 2000  # characters of an error
PATIENCE = 10.0  # s


@collective
def load(world: World, module: str) -> ModuleType:
    """Load a module that stands on torch, HDF5 and others, as late as this: a library may be missing on this machine.

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
    """Print one line about an error that came before the ranks could talk to each other.

    Args:
        message: What is wrong.
        alike: Every rank has this error, so rank 0 speaks for all.
    """
    launch = detect()
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
def one_voice(world: World, patience: float = 0.0) -> Iterator[None]:
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
        parallel.finalize(world, patience)
        raise typer.Exit(error.exit_code) from None
    parallel.finalize(world, patience)


def log_of(world: World) -> None:
    """Send messages to stderr: root's all, of the other ranks only warnings, each with the rank."""
    prefix = "lossgrid: " if world.size == 1 else f"lossgrid [{world.rank}/{world.size}]: "
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{prefix}%(message)s"))
    logger = logging.getLogger("lossgrid")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO if world.is_root else logging.WARNING)
    for part in ALIKE:
        logging.getLogger(part).setLevel(logging.NOTSET if world.is_root else logging.ERROR)
