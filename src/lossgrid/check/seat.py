"""What one rank has to compute with, as it sees it from inside; gathered, these facts are what ``check`` judges."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from lossgrid import store
from lossgrid.evaluation import choose_place
from lossgrid.machine.cores import core_quota, offered_cores, own_cores, processor
from lossgrid.machine.gpus import nvidia_devices, visible_gpus
from lossgrid.machine.libraries import loaded_libraries
from lossgrid.parallel import World, library
from lossgrid.run.provenance import PACKAGES
from lossgrid.run.resources import divide_cores
from lossgrid.wording import spans

VARIABLES = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "SLURM_NTASKS", "HDF5_USE_FILE_LOCKING")
THREADS = "_NUM_THREADS"  # ends the names of OMP_, MKL_, OPENBLAS_, ...
MANY = 40  # characters for the numbers of ranks or the names of hosts


@dataclass(frozen=True)
class Seat:
    """The facts of one rank.

    Attributes:
        rank: Its number.
        host: Its node.
        local_rank: Its number among those of the node.
        device: The GPU in words, ``"cpu"`` without one.
        uuid: The identity of the GPU, ``""`` on a CPU.
        gpus: How many GPUs PyTorch can use here.
        openable_gpus: How many NVIDIA GPUs this process may open, whether or not PyTorch can use them.
        processor: The model of the CPU.
        threads: CPU threads a run would use.
        cores: The cores this process may run on.
        offered: The cores it could have if its launcher did not tie it.
        quota: Cores' worth of time its control group gets; None without limit.
        mpi_libraries: Files of the MPI libraries in this process.
        parallel_hdf5: True where h5py was built with MPI.
        versions: What of, and which: lossgrid, Python, torch, ..., MPI and HDF5.
        variables: Those of the environment that matter, where they are set.
    """

    rank: int
    host: str
    local_rank: int
    device: str
    uuid: str
    gpus: int
    openable_gpus: int
    processor: str
    threads: int
    cores: frozenset[int]
    offered: frozenset[int]
    quota: float | None
    mpi_libraries: tuple[str, ...]
    parallel_hdf5: bool
    versions: Mapping[str, str]
    variables: Mapping[str, str]

    @property
    def computes_on(self) -> str:
        """The model of what it computes on."""
        return self.device if self.uuid else f"{self.device}, {self.processor}"

    def number(self, variable: str) -> int | None:
        """Return the value of a variable that is a number, or a list that begins with one; None where it is not."""
        first = self.variables.get(variable, "").split(",")[0]
        return int(first) if first.isdigit() else None


def take_seat(world: World) -> Seat:
    """Return the facts of this rank; its device and its threads are those a run would take.

    Collective: all ranks of ``world`` must call this.
    """
    device, _, identity = choose_place("auto", "float32", local_rank=world.local_rank).name.partition(" (GPU-")
    return Seat(
        rank=world.rank,
        host=world.host,
        local_rank=world.local_rank,
        device=device,
        uuid=f"GPU-{identity.rstrip(')')}" if identity else "",
        gpus=visible_gpus(),
        openable_gpus=nvidia_devices(),
        processor=processor(),
        threads=divide_cores(world),
        cores=own_cores(),
        offered=offered_cores(),
        quota=core_quota(),
        mpi_libraries=loaded_libraries(),
        parallel_hdf5=store.has_parallel_hdf5(),
        versions={
            **{name: version(name) for name in PACKAGES},
            "Python": platform.python_version(),
            "MPI": " ".join(library(world).partition(",")[0].split()),
            "HDF5": store.hdf5_version(),
        },
        variables={name: text for name, text in os.environ.items() if name in VARIABLES or name.endswith(THREADS)},
    )


def by_host(seats: Iterable[Seat]) -> dict[str, list[Seat]]:
    """Return the ranks of each host, in their order."""
    hosts: dict[str, list[Seat]] = {}
    for seat in seats:
        hosts.setdefault(seat.host, []).append(seat)
    return hosts


def numbers(ranks: Iterable[int]) -> str:
    """Name ranks: ``rank 3``, ``ranks 0-7,9``; of many that do not follow each other the first."""
    rising = sorted(set(ranks))
    return f"rank{'s' if len(rising) > 1 else ''} {shortened(spans(rising))}"


def places(hosts: Sequence[str]) -> str:
    """Name hosts; of many the first and the last.

    >>> places(["n1", "n2"]), places([f"node{number}" for number in range(64)])
    ('n1, n2', '64 hosts (node0 ... node63)')
    """
    names = ", ".join(hosts)
    return names if len(names) <= MANY else f"{len(hosts)} hosts ({hosts[0]} ... {hosts[-1]})"


def who(seats: Iterable[Seat]) -> str:
    """Name ranks and where they are: ``ranks 0-3 on n1``."""
    seats = list(seats)
    return f"{numbers(seat.rank for seat in seats)} on {places(list(by_host(seats)))}"


def shortened(text: str, most: int = MANY) -> str:
    """Cut a list with commas where it gets too long.

    >>> shortened("0,8,16,24", 6)
    '0,8,...'
    """
    return text if len(text) <= most else f"{text[:most].rpartition(',')[0]},..."
