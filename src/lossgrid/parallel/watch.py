"""Who is alive: ranks hear from each other, so that one that froze or vanished ends the job instead of hanging it.

MPI does not tell. Whoever waits for a frozen rank waits for ever, and not every launcher ends a job when a rank dies.
So beside every rank stands a small process (:mod:`lossgrid.parallel.watcher`) that sends a byte to its neighbours every
few seconds and listens for theirs, whatever its rank is doing: loading data, a batch of a minute, waiting in a
collective. It uses TCP connections of its own (:mod:`lossgrid.parallel.tree`), since the kernel closes those of a
process that dies.

A process, as no thread of Python runs while another one holds the interpreter lock, which HDF5's calls do while a file
system hangs. The threads of ZeroMQ (pyzmq) would need no lock either, but to them a rank that was killed, one that is
frozen and a job that was suspended as a whole look the same, and they would be one more library to install.

Where ranks cannot connect, the run goes on without, and says so.
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

ABORT_SECONDS = 5.0
KEPT = ("LD_LIBRARY_PATH", "PYTHONHOME")  # of the environment: where Python itself is; nothing of launchers and tools


@collective
@contextmanager
def guarded(world: World, patience: float, *, advice: str = "") -> Iterator[None]:
    """End the whole job when the block raises what the ranks have not agreed on, or a rank is not heard from any more.

    Its arguments are equal on all ranks. For all else see :func:`abort_guard` and
    :func:`watched`.
    """
    with abort_guard(world, advice=advice), watched(world, patience, advice=advice):
        yield


@collective
@contextmanager
def watched(world: World, patience: float, *, advice: str = "") -> Iterator[None]:
    """End the whole job when a rank is not heard from while the block runs.

    Its arguments are equal on all ranks.

    Args:
        world: The ranks.
        patience: Seconds without a word after which a rank is taken for frozen; 0 to watch nothing.
        advice: Tells the user how to go on.

    Raises:
        InputError: No rank can start a process.
        RankError: Some ranks cannot.
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
            watch.fail()  # it has its own way of ending the job, and its own words
        raise
    watch.leave()


class Watch:
    """The process beside this rank, as the rank sees it."""

    def __init__(self, world: World, links: list[Link], patience: float, advice: str) -> None:
        """Start the process and hand it the connections; it needs some time to load, for which nobody waits.

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
        # Launchers send stop signals to all processes of a rank: this one, which inherits what is blocked, has no ear
        # for them, and ends with its rank.
        old = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-s", watcher.__file__, json.dumps(given)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *(link.connection.fileno() for link in links)],
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
        """Tell the neighbours that this rank leaves in peace, and wait a moment for them to say the same."""
        self._is_leaving = True
        self._say(watcher.LEAVING)
        try:
            self._process.wait(timeout=2 * watcher.FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._connection.close()

    def fail(self) -> None:
        """Tell the neighbours that this rank is about to end the job."""
        self._is_leaving = True
        self._say(watcher.FAILING)

    def _say(self, word: bytes) -> None:
        with suppress(OSError):
            self._connection.send(word)

    def _await_loss(self) -> None:
        """End the job where the process beside this rank says so, or is no more."""
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
        # Not awaited: some libraries do not like to be called from this thread, and the job must end in any case.
        threading.Thread(target=abort, daemon=True).start()
        time.sleep(ABORT_SECONDS)
        os._exit(EXIT_FAILED)
