"""Collective functions: a decorator that documents them, and in tests checks that all ranks call them.

If one rank does not call a collective function, the others wait for ever without a message. The environment variable
``LOSSGRID_COLLECTIVE_SECONDS`` makes every such function begin with a meeting: the ranks exchange its name. A rank that
is missing after that many seconds, or in another function, is an error. Without it the decorator changes no code.
"""

from __future__ import annotations

import functools
import inspect
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
SENTENCE = "Collective: all ranks of the world must call this."
PATIENCE = float(os.environ.get("LOSSGRID_COLLECTIVE_SECONDS") or 0)  # s; 0: no meetings
NAME_BYTES = 80
NAP = 1e-4  # s between two tests of the request

_meetings: dict[int, Any] = {}  # id of a communicator -> its duplicate: meetings must not match other messages


def collective(function: F) -> F:
    """Return ``function`` with ``SENTENCE`` in its docstring; in tests it also checks that all ranks call it.

    The world is an argument of the function, or the attribute ``world`` of an argument.
    """
    summary, *rest = inspect.cleandoc(function.__doc__ or "").split("\n")
    function.__doc__ = "\n".join([summary, "", SENTENCE, *rest])
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
    """Wait until all ranks have called the function ``name``.

    Raises:
        RuntimeError: A rank has not called it within ``patience`` seconds, or has called another function.
    """
    if id(world.comm) not in _meetings:
        _meetings[id(world.comm)] = world.comm.Dup()
    said = np.frombuffer(name.encode()[:NAME_BYTES].ljust(NAME_BYTES), dtype=np.uint8)
    heard = np.empty((world.size, NAME_BYTES), dtype=np.uint8)
    request, end = _meetings[id(world.comm)].Iallgather(said, heard), time.monotonic() + patience
    while not request.Test():
        if time.monotonic() > end:
            raise RuntimeError(f"{world} waits in {name}, to which not all ranks have come within {patience:g} s")
        time.sleep(NAP)
    others = {rank: bytes(row).decode().strip() for rank, row in enumerate(heard)}
    if elsewhere := [f"rank {rank} in {other}" for rank, other in others.items() if other != others[world.rank]]:
        raise RuntimeError(f"{world} is in {name}, {', '.join(elsewhere)}")


def _world_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the world among the arguments of a call; None if there is none, or it has no MPI."""
    given = [*args, *kwargs.values(), *(getattr(argument, "world", None) for argument in args)]
    return next((one for one in given if hasattr(one, "comm") and hasattr(one, "local_rank") and one.comm), None)
