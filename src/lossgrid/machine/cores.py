"""Processor cores: which ones this process may run on, its quota of their time, and their model.

A **CPU** is the kernel's unit, which runs one thread. A **core** computes; with hyperthreads a core is several CPUs.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from lossgrid.machine.groups import own_groups
from lossgrid.machine.kernel import ROOT, amount, fields_of, text_of


def own_cpus() -> frozenset[int]:
    """Return the CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def offered_cpus() -> frozenset[int]:
    """Return the CPUs that the parent process may run on: more than the own ones if a launcher binds ranks."""
    if hasattr(os, "sched_getaffinity"):
        with suppress(OSError):  # the parent has just ended
            return frozenset(os.sched_getaffinity(os.getppid()))
    return own_cpus()


def cores_of(cpus: Iterable[int], root: Path = ROOT) -> frozenset[int]:
    """Return the cores of ``cpus``, each as the first of its CPUs.

    If the system does not report its core, a CPU counts as a core.
    """
    return frozenset(min(_threads_beside(cpu, root)) for cpu in cpus)


def _threads_beside(cpu: int, root: Path) -> frozenset[int]:
    """Return all CPUs of the core of ``cpu``."""
    listed = cpus_in(text_of(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"))
    return listed if cpu in listed else frozenset([cpu])


def cpus_in(text: str) -> frozenset[int]:
    """Return the CPUs of a list in the kernel's format; an empty set if ``text`` is no such list.

    >>> sorted(cpus_in("0-2,8"))
    [0, 1, 2, 8]
    """
    cpus: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        ends = [first, last or first]
        if not all(end.isdecimal() and len(end) <= 6 for end in ends):
            return frozenset()
        cpus.update(range(int(ends[0]), int(ends[1]) + 1))
    return frozenset(cpus)


def core_quota(root: Path = ROOT) -> float | None:
    """Return the CPU quota of this process and others in its control group, in cores; None without limit.

    A control group grants a number of microseconds of CPU time per period, in ``cpu.max`` (version 2) or
    ``cpu.cfs_quota_us`` (version 1).
    """
    quotas = []
    for group in own_groups("cpu", root):
        unified = text_of(group / "cpu.max").split()
        for granted, period in (unified if len(unified) == 2 else ("", ""), _first_version(group)):
            time, of = amount(granted), amount(period)
            if time and of and time / of < math.inf:  # "max" and -1 are no amounts: no limit
                quotas.append(time / of)
    return min(quotas, default=None)


def _first_version(group: Path) -> tuple[str, str]:
    return text_of(group / "cpu.cfs_quota_us"), text_of(group / "cpu.cfs_period_us")


def processor(root: Path = ROOT) -> str:
    """Return the model of the CPU in words; its architecture if the system does not report the model."""
    return fields_of(root / "proc/cpuinfo", ":").get("model name") or platform.machine()
