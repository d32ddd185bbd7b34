"""The resources of ranks, gathered once at the start of a run: the threads of each, and warnings about sharing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from lossgrid.evaluation import Device, share_threads, warn_of_sharing
from lossgrid.machine.resources import Resources, own_resources, sharers
from lossgrid.parallel import World, collective, gather_at_root, gather_on_node, is_first


@collective
def divide_resources(world: World, device: Device) -> tuple[int, int]:
    """Set the CPU threads of this rank to its part of the node's cores.

    A rank needs the resources of its node alone. Root gets those of all and logs warnings about how the ranks share
    cores and GPUs.

    Returns:
        The number of threads, and how many ranks share the memory of the device.
    """
    neighbours = gather_on_node(world, resources_of(world, device))
    every = gather_at_root(world, with_equal_sets_once(neighbours) if is_first(world) else [])
    if every is not None:
        warn_of_sharing(sorted(chain.from_iterable(every), key=lambda one: one.rank))
    own = next(i for i, one in enumerate(neighbours) if one.rank == world.rank)
    return share_threads(neighbours, world.rank), sharers(neighbours, own)


def with_equal_sets_once(ranks: Sequence[Resources]) -> list[Resources]:
    """Return the same ranks; equal sets of CPUs become one object, which a message carries once."""
    kept: dict[frozenset[int], frozenset[int]] = {}

    def once(cpus: frozenset[int]) -> frozenset[int]:
        return kept.setdefault(cpus, cpus)

    return [replace(one, cpus=once(one.cpus), cores=once(one.cores), offered=once(one.offered)) for one in ranks]


def resources_of(world: World, device: Device) -> Resources:
    """Return the resources of this rank: host, cores and device."""
    return own_resources(
        rank=world.rank,
        host=world.host,
        device=device.model,
        uuid=device.uuid,
        launched=world.comm is not None,
    )
