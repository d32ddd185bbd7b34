"""The equipment of a rank: its device, its share of the memory there, its CPU threads, how it writes the file."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from lossgrid import store
from lossgrid.errors import InputError
from lossgrid.evaluation import Device, choose_device
from lossgrid.machine.libraries import loaded_libraries
from lossgrid.parallel import World, collective, collectively
from lossgrid.run.resources import divide_resources
from lossgrid.settings import RunConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Equipment:
    """Device, threads and writer of a rank.

    Attributes:
        device: Device and number format.
        sharers: How many ranks share the memory of the device, this one included.
        threads: CPU threads.
        writer: ``parallel`` if all ranks write the file, ``root`` if rank 0 writes for all.
    """

    device: Device
    sharers: int
    threads: int
    writer: str


@collective
def take_equipment(config: RunConfig, world: World) -> Equipment:
    """Return device, threads and writer of this rank, by the settings and the resources of all ranks.

    Raises:
        InputError: The device does not exist, or this h5py cannot write as ``--writer`` asks.
    """
    writer = collectively(world, lambda: choose_writer(config.writer, world))
    device = collectively(world, lambda: choose_device(config.device, config.precision, local_rank=world.local_rank))
    threads, sharers = divide_resources(world, device)
    log.info("%s, %d threads, %s", device.name, threads, config.precision)
    return Equipment(device, sharers, threads, writer)


def choose_writer(choice: str, world: World) -> str:
    """Return ``parallel`` if all ranks write the file, ``root`` if rank 0 writes for all.

    Raises:
        InputError: ``parallel`` is chosen and this h5py has no MPI, or h5py and mpi4py use different MPI libraries.
    """
    able = store.has_parallel_hdf5() and world.comm is not None
    if choice == "parallel" and not able:
        raise InputError("--writer parallel: this h5py has no MPI; build it as jobs/setup.sh does or use --writer root")
    if able and choice != "root" and len(loaded_libraries()) > 1:
        raise InputError(
            f"h5py and mpi4py were built with different MPIs ({' and '.join(loaded_libraries())}); build h5py as "
            "jobs/setup.sh does, or use --writer root"
        )
    return "parallel" if able and choice != "root" else "root"
