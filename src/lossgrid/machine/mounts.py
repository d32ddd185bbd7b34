"""The mounts of this process, from the kernel's list."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lossgrid.machine.kernel import text_of


@dataclass(frozen=True)
class Mount:
    """A mounted file system, or a part of one.

    Attributes:
        part: The folder of the file system that is mounted; ``/`` for all of it.
        point: The folder where it is mounted.
        kind: Its type in the kernel: ``ext4``, ``nfs4``, ``lustre``, ``cgroup2``, ...
        source: The device or server.
        options: Options of the file system; those of a control group name its controllers.
    """

    part: Path
    point: Path
    kind: str
    source: str
    options: frozenset[str]


def read_mounts(listed: Path = Path("/proc/self/mountinfo")) -> list[Mount]:
    r"""Return the mounts; later ones hide earlier ones. Empty if the system does not report them.

    A line is ``36 35 98:0 /part /mount/point options - type source options``, with blanks as ``\040``.
    """
    mounts = []
    for line in text_of(listed).splitlines():
        before, _, after = line.partition(" - ")
        with suppress(ValueError):  # a malformed line
            _, _, _, part, point, *_ = before.split()
            kind, source, *options = after.split()
            known = frozenset(",".join(options).split(","))
            mounts.append(Mount(_path(part), _path(point), kind, _unescaped(source), known))
    return mounts


def _path(text: str) -> Path:
    return Path(_unescaped(text))


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
