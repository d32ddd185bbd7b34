"""Every rank: apart.py absent|elsewhere: rank 1 does not come to a collective function, or comes to another."""

import sys
import time

from lossgrid.machine.launcher import detect
from lossgrid.parallel import abort_guard, collective, connect, gather
from lossgrid.parallel.world import World

launch = detect()
assert launch is not None
world = connect(launch)


@collective
def count_points(world: World) -> int:
    """Count points."""
    return sum(gather(world, 1))


@collective
def write_points(world: World) -> int:
    """Write points."""
    return sum(gather(world, 2))


with abort_guard(world):
    assert count_points(world) == world.size
    if world.rank == 1:
        if sys.argv[1] == "elsewhere":
            write_points(world)
        time.sleep(30)
    count_points(world)
