"""Processor cores: which ones this process may run on, how much of their time it gets, and what model they are."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path


def own_cores() -> frozenset[int]:
    """Return the cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def offered_cores() -> frozenset[int]:
    """Return the cores the parent of this process may run on: more than its own where a launcher ties ranks to some."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(os.getppid()))
    return own_cores()


def core_quota(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Return how many cores' worth of time this process and its like get, as containers limit it; None without limit.

    The limit of a control group (version 2) is ``cpu.max``: microseconds of computing in each so many microseconds.
    """
    quotas = []
    with suppress(OSError, StopIteration):
        name = next(line for line in own.read_text().splitlines() if line.startswith("0::"))[3:]
        group = groups / name.lstrip("/")
        for folder in (group, *group.parents[: len(group.relative_to(groups).parts)]):
            with suppress(OSError, ValueError):
                most, period = (folder / "cpu.max").read_text().split()
                quotas.append(int(most) / int(period))  # "max" is no number: no limit
    return min(quotas, default=None)


def processor(described: Path = Path("/proc/cpuinfo")) -> str:
    """Return the model of the CPU in words, its architecture where the system does not tell."""
    with suppress(OSError, StopIteration):
        return next(
            value.strip() for name, _, value in (line.partition(":") for line in described.read_text().splitlines())
            if name.strip() == "model name"
        )  # fmt: skip
    return platform.machine()
