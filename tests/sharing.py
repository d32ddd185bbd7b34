"""Points shared among virtual ranks by the coordinator's real code, and how near that comes to what is possible."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heapreplace
from typing import Any

import numpy as np

from lossgrid.parallel import Task, World, coordinate
from lossgrid.sampling import Everything
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


def ideals(points: Points, shape: tuple[int, int], ranks: int) -> tuple[float, float]:
    """Return the seconds of two ideals: work divided by ranks, and whole points without any cost of sharing them.

    The second gives each point to the rank that will have finished it first.
    """
    costs, slowness = points.costs(shape), [points.slowness(rank) for rank in range(ranks)]
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
) -> dict[str, Any]:
    """Share the points of a grid among virtual ranks; return shares of the ideals and where root's time went.

    ``apart`` are the seconds between the ends of the last points of the ranks that computed any.

    Args:
        ranks: Their number.
        points: What points cost.
        shape: Of the grid.
        costs: What messages cost.
        batches: Parts of a point between which root looks at its mail.
        root_writes: Seconds root needs to write a report.
        timer: Tells what the ranks' own code takes, in seconds.
    """
    cluster = Cluster(ranks, costs, timer=timer)
    seconds = points.costs(shape)
    computed = np.zeros(shape, dtype=int)
    ends: dict[int, float] = {}
    last: dict[int, float] = {}  # when the last point of each rank ended

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
            return Results.of_point(work, np.zeros(4), np.zeros(4), took)

        def leave(results: Results, *, rank: int) -> None:
            """Cost nothing: what this takes is a part of the points."""

        def collect(results: Results, *, rank: int) -> None:
            world.comm.work(root_writes)

        plan = Everything(works(np.ones(shape, dtype=bool), (shape[0] // 2, shape[1] // 2))) if world.is_root else None
        assert coordinate(world, plan, Task(evaluate, leave, collect if root_writes else None, lambda: math.inf))
        ends[world.rank] = rank.now

    cluster.run(main)
    assert (computed == 1).all()
    root, end = cluster.ranks[0], ends[0]
    divided, whole = ideals(points, shape, ranks)
    return {
        "ranks": ranks,
        "points": int(computed.size),
        "seconds": end,
        "share of ideal": divided / end,
        "share of attainable": whole / end,
        "apart": max(last.values()) - min(last.values()),
        "root": {**root.account, "reports": root.received},
    }
