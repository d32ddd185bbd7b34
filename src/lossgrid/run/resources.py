"""The resources of all ranks, gathered once at the start of a run: the threads of each, and warnings about sharing."""

from __future__ import annotations

from lossgrid.evaluation import Device, share_threads
from lossgrid.machine.resources import Resources, own_resources, sharers
from lossgrid.parallel import World, collective, gather


@collective
def divide_resources(world: World, device: Device) -> tuple[int, int]:
    """Set the CPU threads of this rank to its part of the node's cores.

    Root logs warnings about how the ranks share cores and GPUs.

    Returns:
        The number of threads, and how many ranks share the memory of the device.
    """
    ranks = gather(world, resources_of(world, device))
    return share_threads(ranks, world.rank), sharers(ranks, world.rank)


def resources_of(world: World, device: Device) -> Resources:
    """Return the resources of this rank: host, cores and device."""
    return own_resources(
        rank=world.rank,
        host=world.host,
        device=device.model,
        uuid=device.uuid,
        launched=world.comm is not None,
    )
