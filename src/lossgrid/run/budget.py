"""The time that is left to a run, by the time limit, the end of the job and stop signals."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field

from lossgrid.machine.launcher import end_of_job
from lossgrid.parallel import Stop, World, collective, gather
from lossgrid.wording import duration

log = logging.getLogger(__name__)
BEFORE_END_OF_JOB = 10.0  # s before the end of the job at which a run ends: time to close files and for the job script


@dataclass(frozen=True)
class Budget:
    """The time of a run.

    Attributes:
        end: ``time.monotonic()`` by which the run must end, in seconds; infinite without a limit.
        stop: True once this process got a stop signal; then no time is left.
    """

    end: float = math.inf
    stop: Stop = field(default_factory=Stop)

    @classmethod
    def of(cls, time_limit: float | None, stop: Stop, *, began: float | None = None) -> Budget:
        """Return the budget under the time limit and the end of the batch job.

        Args:
            time_limit: Seconds after ``began``; None for no limit.
            stop: True once this process got a stop signal.
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
        """Return the seconds left on this rank; 0 after a stop signal to this process."""
        return 0.0 if self.stop else self.end - time.monotonic()

    @collective
    def is_spent(self, world: World) -> bool:
        """Return whether the run must end before loading: a rank got a stop signal, or no time is left."""
        spent = min(gather(world, self.seconds_left())) <= 0
        if spent:
            log.warning("stopped by a signal or the time limit before anything was loaded; run the same command again")
        return spent

    @property
    def why(self) -> str:
        """The cause of the end of the run, as far as this process knows."""
        return f"{self.stop.signal.name}" if self.stop.signal else "a stop signal or the time limit"
