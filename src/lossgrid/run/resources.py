"""The resources of all ranks, gathered once at the start of a run: the threads of each, and warnings about sharing."""

from __future__ import annotations

from lossgrid.evaluation import Place, share_threads
from lossgrid.machine.resources import Resources, own_resources
from lossgrid.parallel import World, collective, gather


@collective
def divide_cores(world: World, place: Place) -> int:
    """Set the CPU threads of this rank to its part of the node's cores; return their number.

    Root logs warnings about how the ranks share cores and GPUs.
    """
    return share_threads(gather(world, resources_of(world, place)), world.rank)


def resources_of(world: World, place: Place) -> Resources:
    """Return the resources of this rank: host, cores and device."""
    return own_resources(
        rank=world.rank,
        host=world.host,
        device=place.model,
        uuid=place.uuid,
        launched=world.comm is not None,
    )
