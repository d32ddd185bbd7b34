"""The data of a run: loading them, cutting them into batches, bringing them to the device."""

from lossgrid.data.batch import Batch, Tree, nbytes
from lossgrid.data.batches import Batches, all_to_device, first_of, in_memory, room, to_device
from lossgrid.data.parts import by_split
from lossgrid.data.registry import facts, load
from lossgrid.data.split import Split, split_of
from lossgrid.data.transfer import Transfer
from lossgrid.readers import find

__all__ = [
    "Batch",
    "Batches",
    "Split",
    "Transfer",
    "Tree",
    "all_to_device",
    "by_split",
    "facts",
    "find",
    "first_of",
    "in_memory",
    "load",
    "nbytes",
    "room",
    "split_of",
    "to_device",
]
