"""Heartbeats among ranks: a rank that hangs or dies ends the job, instead of hanging it.

MPI does not report it. A rank that waits for a hanging rank waits for ever, and not every launcher ends a job when a
rank dies. So every rank has a small process beside it (:mod:`lossgrid.parallel.watcher`). It sends a heartbeat, one
byte, to its neighbours every few seconds and listens for theirs. It does so whatever its rank does: load data, compute
a batch of a minute, wait in a collective. It uses its own TCP connections (:mod:`lossgrid.parallel.tree`): the kernel
closes them when the process dies.

Why a process? No Python thread runs while another one holds the interpreter lock, as HDF5 does while a file system
hangs. The threads of ZeroMQ (pyzmq) need no lock, but they cannot tell a killed rank, a hanging rank and a suspended
job apart. They would also be one more library to install.

If ranks cannot connect, the run goes on without heartbeats, and logs a warning.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lossgrid.errors import EXIT_FAILED, InputError, LossgridError
from lossgrid.parallel import watcher
from lossgrid.parallel.agree import abort, abort_guard, collectively
from lossgrid.parallel.collective import collective
from lossgrid.parallel.stop import SIGNALS
from lossgrid.parallel.tree import Link, connect_ranks
from lossgrid.parallel.world import PATIENCES_TO_START, World, in_time

ABORT_SECONDS = 5.0  # for MPI_Abort; then this process exits by itself
KEPT = ("LD_LIBRARY_PATH", "PYTHONHOME")  # environment variables that find Python; none of launchers or tools


@collective
@contextmanager
def guarded(world: World, patience: float, *, advice: str = "") -> Iterator[None]:
    """End the whole job if the block raises an error that is not agreed on, or the heartbeat of a rank stops.

    The arguments must be equal on all ranks. See :func:`abort_guard` and :func:`watched`.
    """
    with abort_guard(world, advice=advice), watched(world, patience, advice=advice):
        yield


@collective
@contextmanager
def watched(world: World, patience: float, *, advice: str = "") -> Iterator[None]:
    """End the whole job if the heartbeat of a rank stops while the block runs.

    The arguments must be equal on all ranks.

    Args:
        world: The ranks.
        patience: Seconds without a heartbeat after which a rank counts as hanging; 0 to watch nothing.
        advice: Tells the user how to go on.

    Raises:
        InputError: No rank can start its process.
        RankError: Some ranks cannot start it.
    """
    if world.size == 1 or patience == 0:
        yield
        return
    with in_time(str(world), PATIENCES_TO_START * patience):
        links = connect_ranks(world)
        watch = collectively(world, lambda: Watch(world, links, patience, advice))
    try:
        yield
    except BaseException as error:
        if isinstance(error, LossgridError) and error.agreed:
            watch.leave()
        else:
            watch.fail()  # abort_guard prints this error and ends the job
        raise
    watch.leave()


class Watch:
    """The watcher of this rank: the rank's side of it."""

    def __init__(self, world: World, links: list[Link], patience: float, advice: str) -> None:
        """Start the process and pass it the connections; do not wait until it has loaded.

        Raises:
            InputError: The process cannot be started.
        """
        self._world = world
        self._is_leaving = False
        self._connection, theirs = socket.socketpair()
        given = {
            "rank": world.rank,
            "size": world.size,
            "process": os.getpid(),
            "descriptor": theirs.fileno(),
            "links": [(link.rank, link.host, link.connection.fileno()) for link in links],
            "patience": patience,
            "advice": advice,
        }
        # Launchers send stop signals to all processes of a rank. The watcher inherits that they are blocked, and ends
        # with its rank.
        old = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-s", watcher.__file__, json.dumps(given)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *(link.connection.fileno() for link in links)],
                start_new_session=True,  # mpirun kills the group of processes that a rank belongs to
                env={name: os.environ[name] for name in KEPT if name in os.environ},
            )
        except OSError as error:
            raise InputError(
                f"cannot start {sys.executable or 'Python'} as the process that hears the other ranks "
                f"({error.strerror}); --heartbeat 0 goes on without, and a frozen rank then hangs the job"
            ) from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
            for connection in (theirs, *(link.connection for link in links)):
                connection.close()
        threading.Thread(target=self._await_loss, name="lossgrid-watch", daemon=True).start()

    def leave(self) -> None:
        """Report to the neighbours that this rank leaves as planned; wait a moment for their reports."""
        self._is_leaving = True
        self._say(watcher.LEAVING)
        try:
            self._process.wait(timeout=2 * watcher.FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._connection.close()

    def fail(self) -> None:
        """Report to the neighbours that this rank is about to end the job."""
        self._is_leaving = True
        self._say(watcher.FAILING)

    def _say(self, word: bytes) -> None:
        with suppress(OSError):
            self._connection.send(word)

    def _await_loss(self) -> None:
        """Wait for the watcher; end the job if it reports a lost rank, or has died."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # they are for the main thread
        said = b""
        with suppress(OSError):
            said = self._connection.recv(1)
        if said != watcher.LOST:
            if self._is_leaving:
                return
            sys.stderr.write(
                f"lossgrid: error: {self._world}: the process that hears the other ranks has ended, perhaps it was "
                "killed; --heartbeat 0 goes on without, and a frozen rank then hangs the job\n"
            )
            sys.stderr.flush()
        # In a thread with a time limit: some MPI libraries hang in an Abort from this thread, and the job must end.
        threading.Thread(target=abort, daemon=True).start()
        time.sleep(ABORT_SECONDS)
        os._exit(EXIT_FAILED)
