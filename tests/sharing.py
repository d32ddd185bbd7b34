"""Points shared among virtual ranks by the coordinator's real code, and how near that comes to what is possible."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heapreplace
from typing import Any

import numpy as np

from lossgrid.parallel import Plan, Task, World, coordinate
from lossgrid.sampling import Everything, Refine
from lossgrid.surface import Results, Work
from lossgrid.surface.lattice import works
from tests.virtual import Cluster, Costs


@dataclass(frozen=True)
class Points:
    """What points cost.

    Attributes:
        seconds: The mean, on a rank of full speed.
        noise: Largest difference from it, as a fraction.
        slow: One rank in so many has half speed; 0: none.
    """

    seconds: float
    noise: float = 0.0
    slow: int = 0

    def costs(self, shape: tuple[int, int]) -> np.ndarray:
        """Return the seconds of each point on a rank of full speed, float64, ``shape``."""
        noise = np.random.default_rng(0).uniform(-self.noise, self.noise, shape)
        return self.seconds * (1 + noise)

    def slowness(self, rank: int) -> float:
        """Return how many times as long ``rank`` takes as one of full speed."""
        return 2.0 if self.slow and rank % self.slow == self.slow - 1 else 1.0


def ideals(
    points: Points, shape: tuple[int, int], ranks: int, computed: np.ndarray | None = None
) -> tuple[float, float]:
    """Return the seconds of two ideals: work divided by ranks, and whole points without any cost of sharing them.

    The second gives each point to the rank that will have finished it first. ``computed`` tells which points there are,
    bool, ``shape``; None for all.
    """
    costs, slowness = points.costs(shape), [points.slowness(rank) for rank in range(ranks)]
    costs = costs if computed is None else costs[computed]
    divided = float(costs.sum()) / sum(1 / factor for factor in slowness)
    queue = [(points.seconds * factor, 0.0, factor) for factor in slowness]  # when it is expected to end, free, factor
    heapify(queue)
    end = 0.0
    for cost in costs.flat:
        _, free, factor = queue[0]
        free += cost * factor
        end = max(end, free)
        heapreplace(queue, (free + points.seconds * factor, free, factor))
    return divided, end


def simulate(
    ranks: int,
    points: Points,
    shape: tuple[int, int],
    costs: Costs,
    *,
    batches: int = 1,
    root_writes: float = 0.0,
    timer: Callable[[], float] = time.perf_counter,
    plan: Callable[[], Plan] | None = None,
    values: np.ndarray | None = None,
) -> dict[str, Any]:
    """Share the points of a grid among virtual ranks; return shares of the ideals and where root's time went.

    ``apart`` are the seconds between the ends of the last points of the ranks that computed any. ``picture`` are those
    that root needs at the end for the picture of a refined plan, in which all ranks wait.

    Args:
        ranks: Their number.
        points: What points cost.
        shape: Of the grid.
        costs: What messages cost.
        batches: Parts of a point between which root looks at its mail.
        root_writes: Seconds root needs to write a report.
        timer: Tells what the ranks' own code takes, in seconds.
        plan: Makes the plan, on root; None for every point.
        values: The values that points have, ``(n_quantities, *shape)``; None where they do not matter.
    """
    cluster = Cluster(ranks, costs, timer=timer)
    seconds = points.costs(shape)
    computed = np.zeros(shape, dtype=int)
    ends: dict[int, float] = {}
    last: dict[int, float] = {}  # when the last point of each rank ended
    make = plan or (lambda: Everything(works(np.ones(shape, dtype=bool), (shape[0] // 2, shape[1] // 2))))
    found = np.zeros((4, *shape)) if values is None else values
    picture = 0.0

    def main(world: World) -> None:
        rank, slowness = world.comm, points.slowness(world.rank)
        parts = batches if world.is_root else 1  # a worker merely looks for signals in between

        def evaluate(work: Work, tick: Callable[[], object]) -> Results:
            computed[work.row, work.start] += 1
            took = float(seconds[work.row, work.start]) * slowness
            for _ in range(parts):
                rank.work(took / parts)
                tick()
            last[world.rank] = rank.now
            own = found[:, work.row, work.start]
            return Results.of_point(work, own, np.zeros_like(own), took)

        def leave(results: Results, *, rank: int) -> None:
            """Cost nothing: what this takes is a part of the points."""

        def collect(results: Results, *, rank: int) -> None:
            world.comm.work(root_writes)

        nonlocal picture
        plan = make() if world.is_root else None
        assert coordinate(world, plan, Task(evaluate, leave, collect if root_writes else None, lambda: math.inf))
        began = rank.monotonic()
        if isinstance(plan, Refine):
            assert plan.picture() is not None
            picture = rank.monotonic() - began
        ends[world.rank] = rank.monotonic()

    cluster.run(main)
    assert (computed <= 1 if plan else computed == 1).all()
    root, end = cluster.ranks[0], ends[0]
    divided, whole = ideals(points, shape, ranks, computed > 0)
    return {
        "ranks": ranks,
        "points": int(computed.sum()),
        "seconds": end,
        "share of ideal": divided / end,
        "share of attainable": whole / end,
        "apart": max(last.values()) - min(last.values()),
        "picture": picture,
        "root": {**root.account, "reports": root.received},
    }
