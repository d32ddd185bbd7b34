"""Ranks, who coordinates them and how they stop; the only package that imports mpi4py."""

from lossgrid.parallel.coordinator import Progress, Task, coordinate
from lossgrid.parallel.launcher import Launch, detect, end_of_job
from lossgrid.parallel.libraries import loaded_libraries
from lossgrid.parallel.stop import Stop, listen, stop_on_signals
from lossgrid.parallel.watch import guarded
from lossgrid.parallel.world import (
    World,
    abort_guard,
    agree,
    alone,
    barrier,
    broadcast,
    collectively,
    connect,
    gather,
    leave,
    library,
    on_root,
    start_mpi_on_demand,
)

__all__ = [
    "Launch",
    "Progress",
    "Stop",
    "Task",
    "World",
    "abort_guard",
    "agree",
    "alone",
    "barrier",
    "broadcast",
    "collectively",
    "connect",
    "coordinate",
    "detect",
    "end_of_job",
    "gather",
    "guarded",
    "leave",
    "library",
    "listen",
    "loaded_libraries",
    "on_root",
    "start_mpi_on_demand",
    "stop_on_signals",
]
