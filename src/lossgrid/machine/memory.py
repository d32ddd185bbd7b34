"""Memory: what this process may still take."""

from __future__ import annotations

import math
from pathlib import Path


def memory_left(meminfo: Path = Path("/proc/meminfo"), groups: Path = Path("/sys/fs/cgroup")) -> float:
    """Return the bytes of memory this process can still take, within the limits of the batch system."""
    left = [math.inf]
    if meminfo.is_file():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        left.append(1024 * float(fields["MemAvailable"].split()[0]))
    own = Path("/proc/self/cgroup")
    if own.is_file():
        path = own.read_text().strip().rpartition("::/")[2]
        for group in (groups / path, *(groups / path).parents):
            limit, used = group / "memory.max", group / "memory.current"
            if limit.is_file() and used.is_file() and limit.read_text().strip() != "max":
                left.append(float(limit.read_text()) - float(used.read_text()))
    return min(left)
