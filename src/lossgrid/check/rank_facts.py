"""The facts of a rank that ``check`` judges: its computing resources and its software."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

from lossgrid import store
from lossgrid.evaluation import choose_device
from lossgrid.machine.cores import processor
from lossgrid.machine.gpus import nvidia_devices
from lossgrid.machine.libraries import loaded_libraries
from lossgrid.machine.resources import Resources, with_threads
from lossgrid.machine.versions import PACKAGES, version_of
from lossgrid.parallel import World, collective, gather, library
from lossgrid.run.resources import resources_of


@dataclass(frozen=True, kw_only=True)
class RankFacts(Resources):
    """The facts of one rank.

    Attributes:
        local_rank: Its number among the ranks of its node.
        openable_gpus: Number of NVIDIA GPUs that this process may open, whether or not PyTorch can use them.
        processor: The model of the CPU.
        mpi_libraries: Files of the MPI libraries in this process.
        parallel_hdf5: Whether h5py was built with MPI.
        versions: Name -> version: lossgrid, Python, torch, ..., MPI and HDF5.
    """

    local_rank: int
    openable_gpus: int
    processor: str
    mpi_libraries: tuple[str, ...]
    parallel_hdf5: bool
    versions: Mapping[str, str]

    @property
    def computes_on(self) -> str:
        """The model of the GPU, or of the CPU, that it computes on."""
        return self.device if self.uuid else f"{self.device}, {self.processor}"


@collective
def gather_facts(world: World) -> list[RankFacts]:
    """Return the facts of all ranks; their devices and threads are those that a run would use."""
    own = RankFacts(
        **vars(resources_of(world, choose_device("auto", "float32", local_rank=world.local_rank))),
        local_rank=world.local_rank,
        openable_gpus=nvidia_devices(),
        processor=processor(),
        mpi_libraries=loaded_libraries(),
        parallel_hdf5=store.has_parallel_hdf5(),
        versions={
            **{name: version_of(name) for name in PACKAGES},
            "Python": platform.python_version(),
            "MPI": " ".join(library(world).partition(",")[0].split()),
            "HDF5": store.hdf5_version(),
        },
    )
    return with_threads(gather(world, own))
