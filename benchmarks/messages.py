"""What messages cost a rank: looks at the mailbox, receiving, sending, the way from rank to rank, naps.

    mpirun -n 2 python benchmarks/messages.py

Medians of many rounds, in seconds, printed as JSON by rank 0 under the names of ``tests.virtual.Costs``. With more
than two ranks only the look at the mailbox is measured, while the others sleep: how much more it costs the more ranks
there are.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import numpy as np
from mpi4py import MPI

from lossgrid.machine.launcher import detect
from lossgrid.parallel import World, barrier, connect
from lossgrid.parallel.mail import HEADER, REPORT_TAG, SHARE_TAG, share_of

ROUNDS, MESSAGES = 200, 50
PAUSE = 0.001  # seconds between rounds: together they outlast a moment in which another process takes the core
LONG = 400  # numbers; what is longer is not sent at once but by agreement (Open MPI in shared memory: 4 kB)


def timed(function: Callable[[], object], times: int) -> float:
    """Return the seconds a call of ``function`` takes, the median of rounds of ``times`` calls."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(times):
            function()
        rounds.append((time.perf_counter() - began) / times)
        time.sleep(PAUSE)
    return statistics.median(rounds)


def looking(world: World) -> float:
    """Return the seconds root needs for a look that finds nothing, all ranks being connected to it.

    Collective: all ranks of ``world`` must call this.
    """
    world.comm.gather(world.rank, root=world.root)  # connects them
    if not world.is_root:
        barrier(world, interval=0.2)
        return 0.0
    time.sleep(1.0)  # until the others are asleep
    seconds = timed(lambda: world.comm.Iprobe(tag=REPORT_TAG), 100)
    barrier(world)
    return seconds


def receiving(world: World, numbers: int) -> float:
    """Return the seconds root needs to find and receive one of many reports of ``numbers`` float64 from rank 1.

    Collective: all ranks of ``world`` must call this.
    """
    comm, rounds = world.comm, []
    message, status = np.zeros(numbers), MPI.Status()
    for _ in range(ROUNDS):
        if world.rank == 1:
            for _ in range(MESSAGES):
                comm.Send(message, dest=world.root, tag=REPORT_TAG)
        barrier(world)
        if world.is_root:
            began, received = time.perf_counter(), 0
            while received < MESSAGES:
                if comm.Iprobe(tag=REPORT_TAG, status=status):
                    comm.Recv(np.empty(status.Get_count(MPI.DOUBLE)), source=status.Get_source(), tag=REPORT_TAG)
                    received += 1
            rounds.append((time.perf_counter() - began) / MESSAGES)
    return statistics.median(rounds) if world.is_root else 0.0


def sending(world: World) -> float:
    """Return the seconds root needs to send a share to rank 1, which receives it.

    Collective: all ranks of ``world`` must call this.
    """
    share = share_of(None)
    if world.is_root:
        seconds = timed(lambda: world.comm.Send(share, dest=1, tag=SHARE_TAG), MESSAGES)
    else:
        seconds = timed(lambda: world.comm.Recv(share, source=world.root, tag=SHARE_TAG), MESSAGES)
    barrier(world)
    return seconds


def travelling(world: World) -> float:
    """Return the seconds a short message takes from rank to rank, half a round trip while both wait for it.

    Collective: all ranks of ``world`` must call this.
    """
    message, comm, other = np.zeros(HEADER), world.comm, 1 - world.rank

    def there_and_back() -> None:
        if world.is_root:
            comm.Send(message, dest=other)
        comm.Recv(message, source=other)
        if not world.is_root:
            comm.Send(message, dest=other)

    return timed(there_and_back, MESSAGES) / 2


def measure(world: World) -> dict[str, float]:
    """Return the costs by name, in seconds, right on root alone.

    Collective: all ranks of ``world`` must call this.
    """
    costs = {"probe": looking(world)}
    if world.size == 2:
        short, long = receiving(world, HEADER), receiving(world, LONG)
        costs["receive_byte"] = max(0.0, (long - short) / (8 * (LONG - HEADER)))
        costs["receive"] = short - 8 * HEADER * costs["receive_byte"]
        costs["send"], costs["latency"] = sending(world), travelling(world)
        costs["nap"] = timed(lambda: time.sleep(0.002), 1) - 0.002
    return costs


if __name__ == "__main__":
    launch = detect()
    assert launch is not None, "start it with mpirun -n 2"
    world = connect(launch)
    costs = measure(world)
    if world.is_root:
        print(json.dumps(costs))
