"""Sharing the points of a plan among ranks: rank 0 hands out shares and computes too.

The protocol, all of it two-sided messages (:mod:`lossgrid.parallel.mail`) on one communicator, no collective until
everybody has left:

* A worker (any rank but root) reports its results to root, and asks for work. Root answers each request once with a
  share.
* A worker asks **one share ahead**, when it starts the last point of the share it has, so the answer is there when it
  needs it. Results of the previous share that are not yet sent go out with the first report of the next share. Root
  looks at its mail between its own batches (``tick``), so an answer takes one batch at most; among more than
  ``ROOT_COMPUTES_UP_TO`` ranks it computes nothing, as its points would count for little and its answers for much.
* Root takes the first share before it answers anybody, so the first point of the plan is its own.
* Shares shrink towards the end (:mod:`lossgrid.parallel.shares`). Once no more points are left than all do while this
  rank does one, a request made ahead waits until the rank is idle: the rank that is free first gets the point, and
  ranks of different speed end within one point of each other.
* A plan may have no point to give before others are computed: then the request waits for them.
* Results travel at most every ``REPORT_SECONDS``, so a killed rank loses little; waiting is polled with short sleeps,
  so it costs no core.

The values do not depend on who computes a point or when, so neither does the surface.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lossgrid.parallel.collective import collective
from lossgrid.parallel.mail import SHARE_TAG, STOP_TAG, receive_share
from lossgrid.parallel.root import Root
from lossgrid.parallel.task import Plan, Progress, Task
from lossgrid.parallel.worker import Worker
from lossgrid.parallel.world import World, barrier, broadcast


@collective
def coordinate(
    world: World,
    plan: Plan | None,
    task: Task,
    *,
    slowest: float = 0.0,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> bool:
    """Compute the points of a plan; return True if none is left, False if the run was stopped before.

    Only root uses the arguments other than ``world`` and ``task``.

    Args:
        world: The ranks.
        plan: The points to compute, on root; None elsewhere.
        task: How to compute and write a point.
        slowest: Seconds of the costliest point of earlier runs.
        on_progress: Called often on root.
    """
    complete = False
    if world.is_root:
        assert plan is not None
        complete = Root(world, plan, task, slowest, on_progress).run()
    else:
        Worker(world, task).run()
    if world.size > 1:
        barrier(world)
        while world.comm.Iprobe(tag=STOP_TAG):  # a stop that crossed with a last report
            world.comm.Recv(np.empty(0, dtype=np.int64), tag=STOP_TAG)
        while world.comm.Iprobe(tag=SHARE_TAG):  # a share that crossed with a stop
            receive_share(world.comm, world.root)
    return broadcast(world, complete)
