"""Every rank: watching.py CASE [SECONDS]: ranks that watch each other, and what one of them comes to.

The last rank, or rank 0 in the cases of root, freezes, is killed or fails while the others wait in a collective.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

from lossgrid.errors import InputError
from lossgrid.parallel import agree, barrier, connect, detect, guarded

case = sys.argv[1]
patience = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
launch = detect()
assert launch is not None
world = connect(launch)
victim = 0 if "root" in case else world.size - 1
with guarded(world, patience, advice="start again"):
    barrier(world)
    if case == "peace":
        time.sleep(1.5 * patience)  # silent only for those who do not listen
        world.comm.allreduce(1)
    elif case == "refusal":
        with suppress(InputError):
            agree(world, InputError("no such model"))
    elif case == "stopped together":
        # As by a batch system that suspends a job: everybody stops for longer than the patience, and goes on.
        if os.fork() == 0:
            time.sleep(2 * patience)
            os.kill(os.getppid(), signal.SIGCONT)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(patience / 2)
    elif world.rank == victim:
        sys.stderr.write(f"began {time.time()}\n")
        sys.stderr.flush()
        if "freezes" in case:
            os.kill(os.getpid(), signal.SIGSTOP)
        elif "dies" in case:
            os.kill(os.getpid(), signal.SIGKILL)
        elif "fails" in case:
            raise ZeroDivisionError("a fault nobody expected")
    barrier(world)
    world.comm.Barrier()
if world.is_root:
    print("all left")
