"""What a rank computes with and how the file is written: device, threads, writer."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from lossgrid import store
from lossgrid.errors import InputError
from lossgrid.evaluation import Device, choose_device
from lossgrid.machine.libraries import loaded_libraries
from lossgrid.parallel import World, collective, collectively
from lossgrid.run.resources import divide_cores
from lossgrid.settings import RunConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Equipment:
    """What a rank has.

    Attributes:
        device: Device and number format.
        threads: CPU threads.
        writer: ``parallel`` where all ranks write the file, ``root`` where rank 0 writes for all.
    """

    device: Device
    threads: int
    writer: str


@collective
def take_equipment(config: RunConfig, world: World) -> Equipment:
    """Choose what every rank computes with.

    Raises:
        InputError: There is no such device, or the file cannot be written as it is asked for.
    """
    writer = collectively(world, lambda: choose_writer(config.writer, world))
    device = collectively(world, lambda: choose_device(config.device, config.precision, local_rank=world.local_rank))
    threads = divide_cores(world, device)
    log.info("%s, %d threads, %s", device.name, threads, config.precision)
    return Equipment(device, threads, writer)


def choose_writer(choice: str, world: World) -> str:
    """Return ``parallel`` where all ranks can write the file themselves, ``root`` where rank 0 writes for all.

    Raises:
        InputError: ``parallel`` is asked for and this h5py cannot.
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
