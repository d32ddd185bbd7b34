"""How long a run may still take: the time limit, the end of the job and stop signals are one thing to it."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field

from lossgrid.machine.launcher import end_of_job
from lossgrid.parallel import Stop, World, collective, gather
from lossgrid.wording import duration

log = logging.getLogger(__name__)
BEFORE_END_OF_JOB = 10.0  # s in which files are closed and the job script says what is to come


@dataclass(frozen=True)
class Budget:
    """The time of a run.

    Attributes:
        end: ``time.monotonic()`` at which the run must have ended, in seconds; infinite where there is no limit.
        stop: Tells whether this process was asked to stop; then nothing is left.
    """

    end: float = math.inf
    stop: Stop = field(default_factory=Stop)

    @classmethod
    def of(cls, time_limit: float | None, stop: Stop, *, began: float | None = None) -> Budget:
        """Return what the time limit and the batch system leave.

        Args:
            time_limit: Seconds from ``began`` on; None for no limit.
            stop: Tells whether this process was asked to stop.
            began: ``time.monotonic()`` at the start of the program; now by default.
        """
        began = time.monotonic() if began is None else began
        end = math.inf if time_limit is None else began + time_limit
        job_ends = end_of_job()
        if job_ends is not None:
            left = job_ends - time.time()
            end = min(end, time.monotonic() + left - BEFORE_END_OF_JOB)
            log.info("this job ends in %s, the run before that", duration(left))
        return cls(end, stop)

    def seconds_left(self) -> float:
        """Return how many seconds are left, as far as this process knows; 0 after a stop signal."""
        return 0.0 if self.stop else self.end - time.monotonic()

    @collective
    def is_spent(self, world: World) -> bool:
        """Tell whether no rank can go on to load anything: one was told to stop, or there is no time left."""
        spent = min(gather(world, self.seconds_left())) <= 0
        if spent:
            log.warning("stopped by a signal or the time limit before anything was loaded; run the same command again")
        return spent

    @property
    def why(self) -> str:
        """What has ended the run, as far as this process knows."""
        return f"{self.stop.signal.name}" if self.stop.signal else "a stop signal or the time limit"
