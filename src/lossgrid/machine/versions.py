"""Versions of packages, and how those of the ranks differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from lossgrid.machine.resources import numbers

PACKAGES = ("lossgrid", "torch", "numpy", "h5py", "mpi4py")
KINDS = 4  # most versions of a package that are named
ONE_ENVIRONMENT = "activate one environment for all ranks in the job script, in a folder all nodes see"


def version_of(package: str) -> str:
    """Return the version of a package in this process, ``"not installed"`` without one."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def differing(versions: Sequence[Mapping[str, str]]) -> list[str]:
    """Return what differs among ranks, in words: ``torch is 2.13.0 in ranks 0-4 and 2.12.1 in ranks 5-7``.

    Args:
        versions: For each rank, name -> version; the names are the same on all ranks.
    """
    found = []
    for name in versions[0]:
        ranks: dict[str, list[int]] = {}
        for rank, own in enumerate(versions):
            ranks.setdefault(own[name], []).append(rank)
        if len(ranks) > 1:
            kinds = [f"{told} in {numbers(those)}" for told, those in ranks.items()]
            found.append(f"{name} is {' and '.join(kinds[:KINDS])}")
    return found
