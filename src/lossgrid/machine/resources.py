"""The computing resources of a rank, as the rank sees them; together they show how ranks share a node."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from lossgrid.machine.cores import core_quota, cores_of, offered_cpus, own_cpus
from lossgrid.machine.gpus import visible_gpus
from lossgrid.wording import spans

R = TypeVar("R", bound="Resources")
BINDING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")  # bind threads to cores
VARIABLES = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "SLURM_NTASKS", "HDF5_USE_FILE_LOCKING", *BINDING)
THREADS = "_NUM_THREADS"  # ends the names of OMP_, MKL_, OPENBLAS_, ...
DIGITS = 9  # a variable with more digits is no valid number
MANY = 40  # most characters of a list of ranks or hosts


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The resources of one rank.

    Attributes:
        rank: Its number.
        host: Its node.
        device: The GPU in words, ``"cpu"`` without one.
        uuid: The identity of the GPU, ``""`` on a CPU.
        gpus: Number of GPUs that PyTorch can use here.
        cpus: The CPUs that this process may run on: hyperthreads, if cores have them.
        cores: The cores of ``cpus``, each as the first of its CPUs.
        offered: The cores that it could use if its launcher did not bind it.
        quota: CPU quota of its control group, in cores; None without limit.
        variables: Environment variables that matter here, if they are set.
        threads: Number of its CPU threads; 0 until :func:`with_threads` has divided the cores.
    """

    rank: int
    host: str
    device: str
    uuid: str
    gpus: int
    cpus: frozenset[int]
    cores: frozenset[int]
    offered: frozenset[int]
    quota: float | None
    variables: Mapping[str, str]
    threads: int = 0

    def number(self, variable: str) -> int | None:
        """Return the value of a variable that is a number, or a list that begins with one; else None."""
        first = self.variables.get(variable, "").split(",")[0].strip()
        return int(first) if first.isdecimal() and len(first) <= DIGITS else None


def own_resources(*, rank: int, host: str, device: str, uuid: str, launched: bool) -> Resources:
    """Return the resources of this process; the arguments are those that the computer cannot report.

    Args:
        rank: Its number.
        host: Its node.
        device: The GPU in words, ``"cpu"`` without one.
        uuid: The identity of the GPU, ``""`` on a CPU.
        launched: Whether a launcher of parallel jobs started it, and may have bound it to some cores.
    """
    cpus = own_cpus()
    return Resources(
        rank=rank,
        host=host,
        device=device,
        uuid=uuid,
        gpus=visible_gpus(),
        cpus=cpus,
        cores=cores_of(cpus),
        offered=cores_of(offered_cpus() if launched else cpus),
        quota=core_quota(),
        variables={name: text for name, text in os.environ.items() if name in VARIABLES or name.endswith(THREADS)},
    )


def with_threads(ranks: Sequence[R]) -> list[R]:
    """Return the ranks with their numbers of CPU threads; all ranks of a node must be given.

    ``OMP_NUM_THREADS`` wins if it is set. Otherwise the cores of a rank are divided among all ranks of the node that
    may use them too. The quota of a control group is divided among all ranks of the node. Hyperthreads do not count.
    """
    users = {host: Counter(one.cores for one in those) for host, those in by_host(ranks).items()}
    return [replace(one, threads=_threads_of(one, users[one.host])) for one in ranks]


def _threads_of(one: Resources, users: Counter[frozenset[int]]) -> int:
    wish = one.number("OMP_NUM_THREADS")
    if wish:
        return wish
    share = len(one.cores) // sum(count for cores, count in users.items() if cores & one.cores)
    if one.quota is not None:
        share = min(share, math.floor(one.quota / users.total()))
    return max(1, share)


def sharers(ranks: Sequence[Resources], rank: int) -> int:
    """Return how many ranks share the memory of the device of ``rank``: its GPU, or without one the node's memory."""
    own = ranks[rank]
    neighbours = [one for one in ranks if one.host == own.host]
    return sum(one.uuid == own.uuid for one in neighbours) if own.uuid else len(neighbours)


def by_host(ranks: Iterable[R]) -> dict[str, list[R]]:
    """Return host -> its ranks, in their order."""
    hosts: dict[str, list[R]] = {}
    for one in ranks:
        hosts.setdefault(one.host, []).append(one)
    return hosts


def numbers(ranks: Iterable[int]) -> str:
    """Return ranks in words: ``rank 3``, ``ranks 0-7,9``; a long list is cut."""
    rising = sorted(set(ranks))
    return f"rank{'s' if len(rising) > 1 else ''} {shortened(spans(rising))}"


def hosts_in_words(hosts: Sequence[str]) -> str:
    """Return hosts in words; of many, their number, the first and the last.

    >>> hosts_in_words(["n1", "n2"]), hosts_in_words([f"node{number}" for number in range(64)])
    ('n1, n2', '64 hosts (node0 ... node63)')
    """
    names = ", ".join(hosts)
    return names if len(names) <= MANY else f"{len(hosts)} hosts ({hosts[0]} ... {hosts[-1]})"


def who(ranks: Iterable[Resources]) -> str:
    """Return ranks and their hosts in words: ``ranks 0-3 on n1``."""
    ranks = list(ranks)
    return f"{numbers(one.rank for one in ranks)} on {hosts_in_words(list(by_host(ranks)))}"


def shortened(text: str, most: int = MANY) -> str:
    """Return a list with commas, cut to about ``most`` characters.

    >>> shortened("0,8,16,24", 6)
    '0,8,...'
    """
    return text if len(text) <= most else f"{text[:most].rpartition(',')[0]},..."
