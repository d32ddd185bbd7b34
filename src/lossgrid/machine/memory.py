"""Memory: how much this process may still allocate."""

from __future__ import annotations

import math
import resource
from pathlib import Path

from lossgrid.machine.groups import own_groups
from lossgrid.machine.kernel import ROOT, amount, fields_of, text_of
from lossgrid.wording import of_bytes

# files of a control group, versions 2 and 1: its limit, its usage, and the part of the usage that the kernel can drop
LIMITS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def peak_memory() -> int:
    """Return the most bytes of memory that this process has had so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # Linux tells it in kB


def shortage(needed: float) -> str:
    """Return the words for too little memory, the end of an error; "" if ``needed`` bytes can be allocated."""
    left = memory_left()
    return "" if needed <= left else f"{of_bytes(needed)}, and {of_bytes(left)} of memory are left"


def memory_left(root: Path = ROOT) -> float:
    """Return the bytes that this process can still allocate, within the limits of the batch system.

    Infinite if the system does not report them.
    """
    available = amount(fields_of(root / "proc/meminfo", ":").get("MemAvailable", "").removesuffix("kB"))
    left = [math.inf if available is None else 1024 * available]
    for group in own_groups("memory", root):
        for limit_file, used_file, droppable in LIMITS:
            limit, used = amount(text_of(group / limit_file)), amount(text_of(group / used_file))
            if limit is not None and used is not None:
                cached = amount(fields_of(group / "memory.stat").get(droppable, ""))
                left.append(limit - max(0.0, used - (cached or 0.0)))
    return max(0.0, min(left))
