"""The ranks of a run: how MPI starts and ends, and the collective operations among all ranks."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from lossgrid.errors import EXIT_FAILED, InputError, in_short
from lossgrid.machine.kernel import running_kernel
from lossgrid.machine.launcher import Launch, detect
from lossgrid.machine.libraries import loaded_libraries
from lossgrid.parallel.collective import collective
from lossgrid.parallel.stop import SIGNALS

log = logging.getLogger(__name__)
T = TypeVar("T")
NAP = 0.001  # s between two looks of a rank that waits for others
PATIENCES_TO_START = 10  # times ``patience`` to start: thousands of ranks load Python slowly from one file system


@dataclass(frozen=True)
class World:
    """The ranks of a run.

    Attributes:
        comm: An mpi4py communicator that only lossgrid uses; None for one process without MPI.
        rank: The number of this rank, 0..size-1.
        size: Number of ranks.
        local_rank: The number of this rank among those of its host, by the launcher, or by MPI.
        local_size: Number of ranks on its node.
        host: Name of its node, which no other node of the run has.
        root: The rank that coordinates.
        node: The communicator of the ranks of its node, in their order; None for one process without MPI.
    """

    comm: Any
    rank: int
    size: int
    local_rank: int
    local_size: int
    host: str
    root: int = 0
    node: Any = None

    @property
    def is_root(self) -> bool:
        """Return whether this is the rank that coordinates."""
        return self.rank == self.root

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.size} on {self.host}"


def start_mpi_on_demand() -> None:
    """Keep imports of mpi4py, such as that of h5py with MPI, from starting MPI; :func:`connect` starts it.

    So ``--help``, ``status`` and ``plot`` work where MPI cannot start, such as the login node of a cluster.
    """
    import mpi4py

    mpi4py.rc.initialize = False
    mpi4py.rc.finalize = True


def alone() -> World:
    """Return the world of one process without MPI."""
    return World(comm=None, rank=0, size=1, local_rank=0, local_size=1, host=socket.gethostname())


def join() -> World:
    """Start MPI if a launcher started this process, and return the world of all ranks; else that of this process alone.

    Collective: all ranks of the job must call this.

    Raises:
        InputError: MPI cannot be started, or it sees another number of ranks than the launcher started.
    """
    launch = detect()
    return alone() if launch is None else connect(launch)


def connect(launch: Launch, *, patience: float = 0.0) -> World:
    """Start MPI and return the world of all ranks.

    Collective: all ranks of the job must call this.

    Args:
        launch: How this process was started.
        patience: Seconds. This process ends if not all ranks have started after ``PATIENCES_TO_START`` times as long;
            0 to wait for ever.

    Raises:
        InputError: MPI cannot be started, or it sees another number of ranks than the launcher started.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        reason = in_short(error)
        raise InputError(
            f"started by {launch.launcher}, but mpi4py cannot load its MPI library ({reason}); install the MPI of the "
            "launcher where mpi4py finds it, see lossgrid check"
        ) from None
    with in_time(f"rank {launch.rank}", PATIENCES_TO_START * patience):
        _wait_for_all_ranks_to_start(MPI)
        comm = MPI.COMM_WORLD.Dup()
        node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    if launch.size is not None and comm.Get_size() != launch.size:
        found = ", ".join([_library_version().split(",")[0], *loaded_libraries()])
        seen = f"{launch.launcher} started {launch.size} ranks, but mpi4py's MPI ({found}) sees {comm.Get_size()}"
        if launch.rank != 0:
            raise InputError(seen)
        raise InputError(
            f"{seen}: each process would compute everything, as rank 0 of 1. Launcher and library must be one MPI: "
            "use the mpirun of that library, under SLURM the srun --mpi=... it knows (srun --mpi=list), or set "
            "MPI4PY_LIBMPI to the libmpi.so of the launcher"
        )
    # Where each rank has a container, MPI may see it alone on its node, and all would take the first GPU.
    local_rank = node.Get_rank() if launch.local_rank is None else launch.local_rank
    return World(comm, comm.Get_rank(), comm.Get_size(), local_rank, node.Get_size(), _name_of_node(comm), node=node)


def _name_of_node(comm: Any) -> str:
    """Return the name of this node; of nodes with one name, as of one image, all but the first are numbered."""
    name, kernel = socket.gethostname(), running_kernel()
    of_this_name = [theirs for other, theirs in comm.allgather((name, kernel)) if other == name]
    number = list(dict.fromkeys(of_this_name)).index(kernel) + 1
    return name if number == 1 else f"{name}#{number}"


def _wait_for_all_ranks_to_start(mpi: Any) -> None:
    """Start MPI; the traceback of :func:`in_time` shows the name of this function."""
    if not mpi.Is_initialized():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # about a launcher of another MPI: connect() raises on it
            mpi.Init_thread(mpi.THREAD_FUNNELED)


def finalize(world: World, patience: float) -> None:
    """Finalize MPI. If another rank hangs, give up after ``patience`` seconds (0: wait for ever).

    Collective: all ranks of ``world`` must call this, at the end of the program: stop signals are ignored from now on.
    """
    with suppress(ValueError):  # not the main thread
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # a Python handler would be gone while Python exits
    if world.comm is not None:
        from mpi4py import MPI

        with in_time(str(world), patience):
            _wait_for_all_ranks_to_end(MPI)


def _wait_for_all_ranks_to_end(mpi: Any) -> None:
    mpi.Finalize()


@contextmanager
def in_time(who: str, seconds: float) -> Iterator[None]:
    """End this process if the block, which waits for all other ranks, takes longer than ``seconds``; 0: never.

    It guards the start and the end of MPI, where no watcher runs. ``who`` names this rank in the error.
    """
    if seconds == 0 or sys.__stderr__ is None:
        yield
        return
    speaker = threading.Timer(seconds, _give_up, (who, seconds))
    speaker.daemon = True
    speaker.start()
    # MPI_Init and MPI_Finalize block all Python threads. faulthandler's thread is C: it prints a traceback, then exits.
    faulthandler.dump_traceback_later(seconds + 1.0, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        speaker.cancel()
        faulthandler.cancel_dump_traceback_later()


def _give_up(who: str, seconds: float) -> None:
    sys.stderr.write(
        f"lossgrid: error: {who}: not all ranks have come within {seconds:.0f} s (--heartbeat): one has frozen or "
        "never started, or they cannot reach each other\n"
    )
    sys.stderr.flush()
    os._exit(EXIT_FAILED)


def library(world: World) -> str:
    """Return the name and version of the MPI library in use, ``"none"`` without MPI."""
    return "none" if world.comm is None else _library_version()


def _library_version() -> str:
    from mpi4py import MPI

    return str(MPI.Get_library_version()).split("\n")[0].split("\x00")[0].strip()


@collective
def broadcast(world: World, value: T) -> T:
    """Return root's ``value`` on every rank."""
    return value if world.size == 1 else world.comm.bcast(value, root=world.root)


@collective
def gather(world: World, value: T) -> list[T]:
    """Return the values of all ranks, in rank order, on every rank."""
    return [value] if world.size == 1 else world.comm.allgather(value)


@collective
def gather_at_root(world: World, value: T) -> list[T] | None:
    """Return the values of all ranks, in rank order, on root; None on the others."""
    return [value] if world.size == 1 else world.comm.gather(value, root=world.root)


@collective
def barrier(world: World, interval: float = NAP) -> None:
    """Wait for all ranks; poll every ``interval`` seconds, so that waiting costs no core."""
    if world.size > 1:
        wait_for_all(world.comm, interval)


def wait_for_all(comm: Any, interval: float = NAP) -> None:
    """Wait for all ranks of a communicator, as :func:`barrier` does."""
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(interval)
