"""The equipment of a rank: its device, its share of the memory there, its CPU threads, how it writes the file."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from lossgrid import store
from lossgrid.errors import InputError, agreed
from lossgrid.evaluation import Device, choose_device
from lossgrid.machine.libraries import loaded_libraries
from lossgrid.machine.resources import numbers
from lossgrid.parallel import World, collective, collectively
from lossgrid.run.nodes import find_elsewhere
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
    if writer == "parallel" and world.local_size < world.size:
        writer = writer_of_nodes(config, world)
    device = collectively(world, lambda: choose_device(config.device, config.precision, local_rank=world.local_rank))
    threads, sharers = divide_resources(world, device)
    log.info("%s, %d threads, %s", device.name, threads, config.precision)
    return Equipment(device, sharers, threads, writer)


@collective
def writer_of_nodes(config: RunConfig, world: World) -> str:
    """Return ``parallel`` if all nodes see the folder of the output; else ``root``, with a warning.

    Ranks that open different files together, each that of its node, would wait for ever.

    Raises:
        InputError: They do not, and ``--writer`` is ``parallel``; or no file can be made there.
    """
    elsewhere = find_elsewhere(world, config.out)
    if not elsewhere:
        return "parallel"
    blind = f"{numbers(elsewhere)} cannot see what rank 0 makes in {config.out.parent}: each node has its own folder"
    if config.writer == "parallel":
        raise agreed(
            InputError(f"--writer parallel: {blind}; choose a folder that all nodes share, or give --writer root")
        )
    log.warning("%s; rank 0 writes for all, and the surface is on its node", blind)
    return "root"


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
