"""How ranks agree, and how a failure on one ends all.

A run moves through stages that every rank passes together. Three rules keep a failure from becoming a hang:

* what only root does goes through :func:`on_root`: all ranks get its result, or all raise its error;
* what every rank does for itself and may refuse ends in :func:`agree`: all go on, or all raise naming who could not;
* everything from the first to the last message runs inside :func:`abort_guard`: an exception nobody expected prints its
  traceback with rank and host and ends the job at once, before any collective close can wait for the others.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from lossgrid.errors import EXIT_FAILED, LossgridError, RankError, agreed
from lossgrid.parallel.collective import collective
from lossgrid.parallel.world import World, broadcast, gather

T = TypeVar("T")


@collective
def on_root(world: World, function: Callable[[], T]) -> T:
    """Call ``function`` on root alone; every rank returns its result or raises its error.

    Raises:
        LossgridError: What ``function`` raised.
    """
    outcome: Any = None
    if world.is_root:
        try:
            outcome = function()
        except LossgridError as error:
            outcome = error
    outcome = broadcast(world, outcome)
    if isinstance(outcome, LossgridError):
        raise agreed(outcome)
    return outcome  # type: ignore[no-any-return]


@collective
def agree(world: World, error: LossgridError | None) -> None:
    """Return if no rank has an error; otherwise raise on all ranks an error that names the failed ranks and why.

    Raises:
        InputError: Every rank has an error of the same text: the input is at fault.
        RankError: Only some ranks have an error, or their texts differ: a node or a process is at fault.
    """
    reports = gather(world, None if error is None else (type(error), str(error), world.host))
    failed = [(rank, *report) for rank, report in enumerate(reports) if report is not None]
    if not failed:
        return
    _, kind, text, _ = failed[0]
    if len(failed) == world.size and all(other[2] == text for other in failed):
        raise agreed(kind(text))
    if error is not None and world.rank == failed[0][0]:
        _print_traceback(f"{world} cannot go on", error)
    lines = "; ".join(f"rank {rank} of {world.size} on {host}: {text}" for rank, _, text, host in failed[:4])
    more = f"; and {len(failed) - 4} more" if len(failed) > 4 else ""
    raise agreed(RankError(f"{len(failed)} of {world.size} ranks cannot go on: {lines}{more}"))


@collective
def collectively(world: World, function: Callable[[], T]) -> T:
    """Call ``function`` on every rank, then :func:`agree`; return this rank's result.

    Raises:
        InputError: ``function`` raised the same error on every rank.
        RankError: It raised on some ranks only, or different errors.
    """
    result: Any = None
    refusal: LossgridError | None = None
    try:
        result = function()
    except LossgridError as error:
        refusal = error
    agree(world, refusal)
    return result  # type: ignore[no-any-return]


@contextmanager
def abort_guard(world: World, *, advice: str = "") -> Iterator[None]:
    """End the whole job if the block raises an error that the ranks have not agreed on.

    Errors that all ranks have agreed on pass. Must be the innermost context: a ``with`` inside the block that closes a
    parallel file would wait for the other ranks for ever. ``advice`` tells the user how to go on.

    Raises:
        RankError: The block raised an unexpected error, and the world has one rank.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, LossgridError) and error.agreed:
            raise
        if world.size == 1 and not isinstance(error, Exception):
            raise  # the user's Ctrl-C, a call of sys.exit
        if isinstance(error, LossgridError):  # its text says what is wrong and what to do: no traceback
            if world.size == 1:
                raise
            sys.stderr.write(f"lossgrid: error: {world} failed: {' '.join(str(error).split())}\n")
            sys.stderr.flush()
        else:
            headline = f"{world} failed" + (f"; {advice}" if advice else "")
            _print_traceback(headline, error)
            if world.size == 1:
                raise RankError(headline) from error
        time.sleep(0.2)  # the launcher forwards what was written before the job is torn down
        abort()
        os._exit(EXIT_FAILED)  # an MPI whose Abort returns must not let this rank go on


def abort() -> None:
    """End all ranks of the job, with exit code 1 where the launcher passes it on."""
    from mpi4py import MPI

    MPI.COMM_WORLD.Abort(EXIT_FAILED)  # not on our duplicate of it: there the Abort of MPICH 4.0 often hangs


def _print_traceback(headline: str, error: BaseException) -> None:
    sys.stderr.write(f"lossgrid: {headline}\n{''.join(traceback.format_exception(error))}")
    sys.stderr.flush()
