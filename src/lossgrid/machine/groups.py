"""Control groups, with which batch systems and containers limit a process; versions 1 and 2.

A limit holds for a group and for all groups in it: the lowest limit from the own group upwards counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lossgrid.machine.kernel import ROOT, text_of
from lossgrid.machine.mounts import Mount, read_mounts


def own_groups(controller: str, root: Path = ROOT) -> list[Path]:
    """Return the folders with the limits on this process, from the innermost group upwards.

    Version 2 has one tree of groups, version 1 one for each controller; a system may have both.

    Args:
        controller: ``cpu`` or ``memory``.
        root: The folder ``/``.
    """
    mounts = [mount for mount in read_mounts(root / "proc/self/mountinfo") if mount.kind in ("cgroup", "cgroup2")]
    folders: list[Path] = []
    for line in text_of(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        for mount in mounts:
            is_unified = mount.kind == "cgroup2" and number == "0" and not controllers
            if is_unified or (
                mount.kind == "cgroup" and controller in controllers.split(",") and controller in mount.options
            ):
                folders += _upwards(mount, Path(group), root)
    return list(dict.fromkeys(folders))


def _upwards(mount: Mount, group: Path, root: Path) -> Iterator[Path]:
    """Yield the folders of a group and of those above it, as far as the mount shows them.

    In a container the mount may show only a part of the tree, and the group may be named from outside that part.
    """
    top = root / mount.point.relative_to(mount.point.anchor)
    inside = group.is_relative_to(mount.part) and ".." not in group.parts
    parts = group.relative_to(mount.part).parts if inside else ()
    for depth in range(len(parts), -1, -1):
        yield top.joinpath(*parts[:depth])
