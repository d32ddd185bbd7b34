"""Functions that all ranks must call: the sentence that says so, and in tests the check that all ranks came.

A rank that does not come to a collective function leaves the others waiting for ever, and nothing says in which. With
``LOSSGRID_COLLECTIVE_SECONDS`` in the environment every such function begins with a meeting: ranks tell each other its
name, and a rank that misses or is elsewhere is an error after so many seconds. Without it a function is left as it is.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
SENTENCE = "Collective: all ranks of the world must call this."
PATIENCE = float(os.environ.get("LOSSGRID_COLLECTIVE_SECONDS") or 0)  # s; 0: no meetings
NAME_BYTES = 80
NAP = 1e-4  # s between two looks

_meetings: dict[int, Any] = {}  # a communicator of its own for each, so that meetings never mix with other messages


def collective(function: F) -> F:
    """Say in the docstring of ``function`` that all ranks must call it; in tests make sure that they do.

    The world is an argument of the function, or the attribute ``world`` of one.
    """
    summary, _, rest = (function.__doc__ or "").partition("\n")
    indent = " " * 4
    function.__doc__ = f"{summary}\n\n{indent}{SENTENCE}\n{rest}" if rest else f"{summary}\n\n{indent}{SENTENCE}"
    if not PATIENCE:
        return function

    @functools.wraps(function)
    def met(*args: Any, **kwargs: Any) -> Any:
        world = _world_of(args, kwargs)
        if world is not None and world.size > 1:
            meet(world, function.__qualname__, PATIENCE)
        return function(*args, **kwargs)

    return met  # type: ignore[return-value]


def meet(world: Any, name: str, patience: float) -> None:
    """Wait until all ranks have come to the function ``name``.

    Raises:
        RuntimeError: One has not come within ``patience`` seconds, or has come to another function.
    """
    comm = _meetings.setdefault(id(world.comm), None) or _own(world)
    said = np.frombuffer(name.encode()[:NAME_BYTES].ljust(NAME_BYTES), dtype=np.uint8)
    heard = np.empty((world.size, NAME_BYTES), dtype=np.uint8)
    request, end = comm.Iallgather(said, heard), time.monotonic() + patience
    while not request.Test():
        if time.monotonic() > end:
            raise RuntimeError(f"{world} waits in {name}, to which not all ranks have come within {patience:g} s")
        time.sleep(NAP)
    others = {rank: bytes(row).decode().strip() for rank, row in enumerate(heard)}
    if elsewhere := [f"rank {rank} in {other}" for rank, other in others.items() if other != others[world.rank]]:
        raise RuntimeError(f"{world} is in {name}, {', '.join(elsewhere)}")


def _own(world: Any) -> Any:
    _meetings[id(world.comm)] = world.comm.Dup()
    return _meetings[id(world.comm)]


def _world_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the world among the arguments of a call; None where there is none, or one without MPI."""
    given = [*args, *kwargs.values(), *(getattr(argument, "world", None) for argument in args)]
    return next((one for one in given if hasattr(one, "comm") and hasattr(one, "local_rank") and one.comm), None)
