"""Every rank: agreeing.py CASE: how an error of some ranks becomes that of all."""

from __future__ import annotations

import sys
import time

from lossgrid.errors import InputError, RankError
from lossgrid.machine.launcher import detect
from lossgrid.parallel import abort_guard, agree, barrier, broadcast, collectively, connect, gather, on_root

case = sys.argv[1]
launch = detect()
assert launch is not None
world = connect(launch)
last = world.size - 1
said = "nothing"
with abort_guard(world, advice="start again"):
    try:
        if case == "values":
            assert broadcast(world, world.rank) == 0
            assert gather(world, world.rank) == list(range(world.size))
            assert on_root(world, lambda: world.rank) == 0
            assert collectively(world, lambda: world.rank) == world.rank
            agree(world, None)
            barrier(world)
        elif case == "root refuses":

            def refuse() -> None:
                raise InputError("no such file")

            on_root(world, refuse)
        elif case == "all refuse":
            agree(world, InputError("no such model"))
        elif case == "last refuses":
            agree(world, InputError("no GPU here") if world.rank == last else None)
        elif case == "last raises":
            if world.rank == last:
                raise ZeroDivisionError("a fault nobody expected")
            barrier(world)  # would wait for ever
        elif case == "root raises":
            if world.rank == 0:
                raise ZeroDivisionError("a fault nobody expected")
            while True:
                time.sleep(1)
    except (InputError, RankError) as error:
        said = f"{type(error).__name__}: {error}"
every = gather(world, said)
if world.is_root:
    assert len(set(every)) == 1, every
    print(every[0])
