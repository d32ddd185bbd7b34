"""Every rank: coordinate.py ROWS COLUMNS SECONDS_PER_POINT [stop] [slow] [centre]: compute known values; root checks.

With ``stop`` the last rank asks to stop after its third point, with ``slow`` its points take five times as long, with
``centre`` the point in the middle is the first that is pending.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable

import numpy as np

from lossgrid.machine.launcher import detect
from lossgrid.parallel import Progress, Task, connect, coordinate
from lossgrid.sampling import Everything
from lossgrid.surface import Results, Work
from lossgrid.surface.lattice import works

rows, columns, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
stops = "stop" in sys.argv
launch = detect()
assert launch is not None
world = connect(launch)
if "slow" in sys.argv and world.rank == world.size - 1:
    seconds *= 5
surface = np.full((rows, columns), np.nan)
owner = np.full((rows, columns), -1)
computed: list[tuple[int, int]] = []
ended: list[float] = []
took: list[float] = []  # s, of each point of this rank, by the clock
snapshots: list[int] = []


def evaluate(work: Work, tick: Callable[[], object]) -> Results:
    began = time.monotonic()
    for _ in range(3):
        time.sleep(seconds / 3)
        tick()
    computed.append((work.row, work.start))
    ended.append(time.monotonic())
    took.append(ended[-1] - began)
    return Results.of_point(work, np.array([1000.0 * work.row + work.start]), np.zeros(1), seconds)


def put(results: Results, *, rank: int) -> None:
    work = results.work
    where = (work.row, slice(work.start, work.stop, work.step))
    assert np.isnan(surface[where]).all(), "a point arrived twice"
    surface[where], owner[where] = results.values[:, 0], rank


def progress(state: Progress) -> None:
    snapshots.append(state.done)


def seconds_left() -> float:
    return 0.0 if stops and world.rank == world.size - 1 and len(computed) >= 3 else math.inf


pending = np.ones((rows, columns), dtype=bool)
pending[0, : columns // 3] = False  # as if an earlier run had done these
middle = (rows // 2, columns // 2)
plan = Everything(works(pending, middle))
if "centre" in sys.argv:
    assert pending[middle]
    rest = pending.copy()
    rest[middle] = False
    plan = Everything([Work(middle[0], middle[1], middle[1] + 1), *works(rest, middle)])
task = Task(evaluate, put, collect=put, seconds_left=seconds_left)
began = time.monotonic()
complete = coordinate(world, plan, task, on_progress=progress)
points = world.comm.gather(len(computed), root=0)
last = world.comm.gather(ended[-1] if ended else began, root=0)
busy = world.comm.gather(sum(took), root=0)
late = world.comm.gather(max(took, default=0.0) - seconds, root=0)  # the machine let a rank wait so long in a point
if world.is_root:
    expected = 1000.0 * np.arange(rows)[:, None] + np.arange(columns)
    done = ~np.isnan(surface)
    assert (surface[done] == expected[done]).all()
    assert not done[~pending].any()
    assert sum(points) == done.sum() == snapshots[-1]
    assert snapshots == sorted(snapshots)
    assert [int((owner == rank).sum()) for rank in range(world.size)] == points
    if "centre" in sys.argv:
        assert computed[0] == middle
    print(
        json.dumps(
            {
                "complete": complete,
                "done": int(done.sum()),
                "pending": int(pending.sum()),
                "points": points,
                "busy": busy,
                "late": max(late),
                "apart": max(last) - min(last),
            }
        )
    )
