"""Every rank: watching.py CASE [SECONDS]: ranks that watch each other, and what one of them comes to.

The last rank, or rank 0 in the cases of root, freezes, is killed, fails, keeps the interpreter lock or loses the
process beside it, while the others wait in a collective. Each rank says first which processes it consists of.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from lossgrid.errors import InputError
from lossgrid.machine.launcher import detect
from lossgrid.parallel import agree, barrier, connect, guarded

case = sys.argv[1]
patience = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
launch = detect()
assert launch is not None
world = connect(launch)
victim = 0 if "root" in case else world.size - 1
if "comes late" in case and world.rank == victim:
    time.sleep(1.0)  # the others listen for its call meanwhile


def keep_the_lock(seconds: int) -> None:
    """Sleep as a call of HDF5 does in which a file system hangs: no other thread of Python runs meanwhile."""
    ctypes.PyDLL(None).sleep(seconds)


with guarded(world, patience, advice="start again"):
    beside = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    sys.stderr.write(f"processes {os.getpid()} {' '.join(beside)} of {world.rank}\n")
    sys.stderr.flush()
    barrier(world)
    if case.startswith("peace"):
        time.sleep(1.5 * patience)  # silent only for those who do not listen
        world.comm.allreduce(1)
    elif case == "refusal":
        with suppress(InputError):
            agree(world, InputError("no such model"))
    elif "stopped together" in case:
        # As by a batch system that suspends a job: everybody stops for longer than the patience, and goes on.
        stopped = [*(map(int, beside) if "watchers" in case else ()), os.getpid()]
        if os.fork() == 0:
            time.sleep(2 * patience)
            for process in stopped:
                os.kill(process, signal.SIGCONT)
            os._exit(0)
        for process in stopped:
            os.kill(process, signal.SIGSTOP)
        time.sleep(patience / 2)
    elif case == "freezes beside a lock" and world.rank != victim:
        keep_the_lock(60)
    elif world.rank == victim:
        sys.stderr.write(f"began {time.time()}\n")
        sys.stderr.flush()
        if "freezes" in case:
            os.kill(os.getpid(), signal.SIGSTOP)
        elif "dies" in case:
            os.kill(os.getpid(), signal.SIGKILL)
        elif "keeps the lock" in case:
            keep_the_lock(round(3 * patience))
        elif case == "loses its watcher":
            os.kill(int(beside[0]), signal.SIGKILL)
            time.sleep(60)  # at work still: a rank that has left meanwhile does not miss it
        elif case == "waits":
            time.sleep(60)
        elif case == "forks":
            # A child without exec, as workers of a data loader are, keeps every open file of its rank.
            if os.fork() == 0:
                time.sleep(30)
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
        elif case == "signals":
            for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
                os.kill(int(beside[0]), number)
            time.sleep(1.5 * patience)
        elif "fails" in case:
            raise ZeroDivisionError("a fault nobody expected")
    barrier(world)
    world.comm.Barrier()
if world.is_root:
    print("all left")
