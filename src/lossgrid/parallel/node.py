"""What one rank does for all ranks of its node, and memory that they share.

The **first rank** of a node works; the others wait without using a core. Nodes do not wait for each other here, so that
a caller ends in an agreement of all ranks (:mod:`lossgrid.parallel.agree`).

Shared memory is an anonymous file of the kernel (``memfd_create``), which every rank maps for itself. A window of MPI
(``MPI_Win_allocate_shared``) was left, for four reasons:

* The map is private: a rank that writes into it, as a network does that changes its inputs in place, gets its own copy
  of those pages, and no other rank sees the change.
* It lasts as long as arrays refer to it. A window ends in a collective call, and an array that is left then is a crash.
* It needs no room in ``/dev/shm``, 64 MB in many containers. A window that finds none there ends in SIGBUS.
* It has no name, so that a killed job leaves nothing behind.

Where ranks cannot map it, as in containers that hide processes from each other, each gets a copy by MPI.
"""

from __future__ import annotations

import mmap
import os
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lossgrid.errors import LossgridError
from lossgrid.parallel.world import World, wait_for_all

T = TypeVar("T")
Memory = npt.NDArray[np.uint8]

NAP = 0.02  # s between two looks of a rank that waits: 128 that look every millisecond take a core
PAGE = mmap.PAGESIZE  # the first page tells whose memory it is
TOKEN = 32  # bytes
PIECE = 2**30  # bytes of a message: the count of many MPI libraries is an int


def is_first(world: World) -> bool:
    """Return whether this is the first rank of its node."""
    return world.node is None or world.node.Get_rank() == 0


def has_company(world: World) -> bool:
    """Return whether there are other ranks on its node."""
    return world.node is not None and world.node.Get_size() > 1


def by_first(world: World, function: Callable[[], T]) -> T | LossgridError:
    """Call ``function`` on the first rank of the node; return its result, or its error, on every rank there.

    Collective among the ranks of the node.
    """
    outcome: Any = None
    if is_first(world):
        try:
            outcome = function()
        except LossgridError as error:
            outcome = error
    if not has_company(world):
        return outcome  # type: ignore[no-any-return]
    wait_for_all(world.node, NAP)  # the work may take minutes, and needs the cores
    return world.node.bcast(outcome, root=0)  # type: ignore[no-any-return]


def gather_on_node(world: World, value: T) -> list[T]:
    """Return the values of all ranks of the node, in rank order, on every rank of it.

    Collective among the ranks of the node.
    """
    return world.node.allgather(value) if has_company(world) else [value]


def common_memory(world: World, nbytes: int, write: Callable[[Memory], None]) -> tuple[Memory, str]:
    """Return memory with equal contents on all ranks of the node, which each rank may change for itself.

    Collective among the ranks of the node.

    Args:
        world: The ranks.
        nbytes: Its size, at least 1; equal on all ranks of the node.
        write: Writes the contents; called on the first rank alone.

    Returns:
        The memory, uint8, shape ``(nbytes,)``; and why it is a copy for each rank, ``""`` if it is shared.
    """
    descriptor, said = -1, ""
    token = secrets.token_bytes(TOKEN)
    try:
        if is_first(world):
            try:
                descriptor = _written(nbytes, token, write)
            except (OSError, AttributeError) as error:  # AttributeError: a system other than Linux
                said = _why(error)
        wait_for_all(world.node, NAP)
        place = f"/proc/{os.getpid()}/fd/{descriptor}"
        place, token, said = world.node.bcast((place, token, said), root=0)
        mapped = None
        if not said:
            mapped, said = _mapped(place, nbytes, token)
        refusals = [one for one in world.node.allgather(said) if one]  # all have mapped it, or none uses it
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    if mapped is not None and not refusals:
        return mapped, ""
    return _copied(world, nbytes, write), refusals[0]


def shares_memory(world: World) -> bool:
    """Return whether there are other ranks on the node, and they can share memory.

    Collective among the ranks of the node.
    """
    return has_company(world) and not common_memory(world, 1, lambda _: None)[1]


def _written(nbytes: int, token: bytes, write: Callable[[Memory], None]) -> int:
    """Return the descriptor of new memory with a token in its first page, and the contents behind it."""
    descriptor = os.memfd_create("lossgrid")
    try:
        os.ftruncate(descriptor, PAGE + nbytes)
        there = np.frombuffer(mmap.mmap(descriptor, PAGE + nbytes), np.uint8)
        there[:TOKEN] = np.frombuffer(token, np.uint8)
        write(there[PAGE:])
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _mapped(place: str, nbytes: int, token: bytes) -> tuple[Memory | None, str]:
    """Return the memory at ``place``, or why it cannot be had."""
    try:
        descriptor = os.open(place, os.O_RDONLY)
        try:
            if os.fstat(descriptor).st_size != PAGE + nbytes:
                return None, f"{place} is another file"
            there = np.frombuffer(mmap.mmap(descriptor, PAGE + nbytes, access=mmap.ACCESS_COPY), np.uint8)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        return None, _why(error)
    if there[:TOKEN].tobytes() != token:  # a process of the same number in another container
        return None, f"{place} is another memory"
    return there[PAGE:], ""


def _copied(world: World, nbytes: int, write: Callable[[Memory], None]) -> Memory:
    """Return memory of this rank alone; the first rank sends the contents to the others."""
    there = np.frombuffer(mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)  # aligned
    if is_first(world):
        write(there)
    for start in range(0, nbytes, PIECE):
        world.node.Bcast(there[start : start + PIECE], root=0)
    return there


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
