"""The resources of all ranks, gathered once at the start of a run: the threads of each, and warnings about sharing."""

from __future__ import annotations

from lossgrid.evaluation import Device, share_threads
from lossgrid.machine.resources import Resources, own_resources
from lossgrid.parallel import World, collective, gather


@collective
def divide_cores(world: World, device: Device) -> int:
    """Set the CPU threads of this rank to its part of the node's cores; return their number.

    Root logs warnings about how the ranks share cores and GPUs.
    """
    return share_threads(gather(world, resources_of(world, device)), world.rank)


def resources_of(world: World, device: Device) -> Resources:
    """Return the resources of this rank: host, cores and device."""
    return own_resources(
        rank=world.rank,
        host=world.host,
        device=device.model,
        uuid=device.uuid,
        launched=world.comm is not None,
    )
