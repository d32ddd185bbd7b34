"""How long a run may still take: the time limit, the end of the job, a stop signal."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from lossgrid.machine.launcher import end_of_job
from lossgrid.parallel import Stop, World, gather
from lossgrid.settings import RunConfig
from lossgrid.wording import duration

log = logging.getLogger(__name__)
BEFORE_END_OF_JOB = 10.0  # s in which files are closed and the job script says what is to come


def time_left(config: RunConfig, began: float, stop: Stop) -> Callable[[], float]:
    """Return how many seconds the time limit and the batch system leave, none after a stop signal, as a function."""
    end = math.inf if config.time_limit is None else began + config.time_limit
    job_ends = end_of_job()
    if job_ends is not None:
        left = job_ends - time.time()
        end = min(end, time.monotonic() + left - BEFORE_END_OF_JOB)
        log.info("this job ends in %s, the run before that", duration(left))
    return lambda: 0.0 if stop else end - time.monotonic()


def is_over(world: World, seconds_left: Callable[[], float]) -> bool:
    """Tell whether no rank can go on to load anything: one was told to stop, or there is no time left.

    Collective: all ranks of ``world`` must call this.
    """
    over = min(gather(world, seconds_left())) <= 0
    if over:
        log.warning("stopped by a signal or the time limit before anything was loaded; run the same command again")
    return over
