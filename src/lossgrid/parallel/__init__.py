"""Ranks, who coordinates them and how they stop; the only package that imports mpi4py."""

from lossgrid.parallel.agree import abort_guard, agree, collectively, on_root
from lossgrid.parallel.collective import collective
from lossgrid.parallel.coordinator import coordinate
from lossgrid.parallel.node import by_first, common_memory, gather_on_node, has_company, is_first, shares_memory
from lossgrid.parallel.stop import Stop, listen, stop_on_signals
from lossgrid.parallel.task import Plan, Progress, Task
from lossgrid.parallel.watch import guarded
from lossgrid.parallel.world import (
    World,
    alone,
    barrier,
    broadcast,
    connect,
    finalize,
    gather,
    gather_at_root,
    join,
    library,
    start_mpi_on_demand,
)

__all__ = [
    "Plan",
    "Progress",
    "Stop",
    "Task",
    "World",
    "abort_guard",
    "agree",
    "alone",
    "barrier",
    "broadcast",
    "by_first",
    "collective",
    "collectively",
    "common_memory",
    "connect",
    "coordinate",
    "finalize",
    "gather",
    "gather_at_root",
    "gather_on_node",
    "guarded",
    "has_company",
    "is_first",
    "join",
    "library",
    "listen",
    "on_root",
    "shares_memory",
    "start_mpi_on_demand",
    "stop_on_signals",
]
