"""The resources of all ranks, gathered once at the start of a run: how many threads each takes, and what is wrong."""

from __future__ import annotations

from lossgrid.evaluation import Device, share_threads
from lossgrid.machine.resources import Resources, own_resources
from lossgrid.parallel import World, collective, gather


@collective
def divide_cores(world: World, device: Device) -> int:
    """Give this rank its part of the CPU threads of its node and return how many these are.

    Root says in the log what is wrong with how the ranks share cores and GPUs.
    """
    return share_threads(gather(world, resources_of(world, device)), world.rank)


def resources_of(world: World, device: Device) -> Resources:
    """Return what this rank has to compute with."""
    return own_resources(
        rank=world.rank,
        host=world.host,
        device=device.model,
        uuid=device.uuid,
        launched=world.comm is not None,
    )
