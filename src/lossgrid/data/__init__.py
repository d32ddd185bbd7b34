"""The data of a run: loading them, cutting them into batches, bringing them to the device."""

from lossgrid.data.batch import Batch, Tree, nbytes
from lossgrid.data.batches import Batches, to_device
from lossgrid.data.parts import by_split
from lossgrid.data.registry import facts, load
from lossgrid.data.split import Split, split_of
from lossgrid.readers import find

__all__ = [
    "Batch",
    "Batches",
    "Split",
    "Tree",
    "by_split",
    "facts",
    "find",
    "load",
    "nbytes",
    "split_of",
    "to_device",
]
