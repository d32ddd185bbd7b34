"""What the ranks of a node have in common: one of them reads or computes it, and a node holds it once.

It may be any object that can be pickled. Its tensors go into memory that all ranks of the node map, and become views of
it; all else is copied. A rank that changes such a tensor changes it for itself alone. Nodes do not send each other
anything: each reads its files, and the ranks compare digests (:func:`lossgrid.run.preparation.same_everywhere`).
"""

from __future__ import annotations

import io
import logging
import pickle
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from lossgrid.errors import LossgridError
from lossgrid.machine.resources import hosts_in_words
from lossgrid.parallel import World, agree, by_first, collective, common_memory, gather_at_root, has_company

log = logging.getLogger(__name__)
T = TypeVar("T")

ALIGNMENT = 64  # bytes, as of memory that PyTorch allocates

Memory = npt.NDArray[np.uint8]
Place = tuple[int, torch.dtype, tuple[int, ...], tuple[int, ...]]  # first byte, dtype, shape, strides


@collective
def made_once(world: World, what: str, make: Callable[[], T]) -> T:
    """Call ``make`` on the first rank of each node, and return its result, with equal tensors, on every rank.

    Args:
        world: The ranks.
        what: The result in words, for the log.
        make: Called on one rank of each node; it must not communicate.

    Raises:
        InputError: ``make`` raised it on every node.
        RankError: It raised an error on some nodes only, or different errors.
    """
    made: T | None = None
    packer = Packer()

    def pack() -> tuple[bytes, int]:
        nonlocal made
        made = make()
        return packer.packed(made) if has_company(world) else b"", packer.end

    packed = by_first(world, pack)
    agree(world, packed if isinstance(packed, LossgridError) else None)
    refusal = ""
    if has_company(world):
        pickled, nbytes = packed  # type: ignore[misc]
        memory, refusal = common_memory(world, max(1, nbytes), packer.write)
        made = _Opener(io.BytesIO(pickled), memory).load()
    if without := {host: why for host, why in gather_at_root(world, (world.host, refusal)) or () if why}:
        hosts, why = hosts_in_words(list(without)), next(iter(without.values()))
        log.warning("ranks on %s cannot share memory (%s): each holds its own copy of %s", hosts, why, what)
    return made  # type: ignore[return-value]


class Packer:
    """Gives each tensor of an object a place in memory, in its dtype, shape and memory format.

    Attributes:
        end: The first byte behind the last place.
    """

    def __init__(self) -> None:
        self.end = 0
        self._places: dict[int, tuple[torch.Tensor, Place]] = {}  # by the identity of the tensor

    def packed(self, given: object) -> bytes:
        """Return the pickle of an object, with places in place of tensors."""
        stream = io.BytesIO()
        _Pickler(stream, self._place_of).dump(given)
        return stream.getvalue()

    @torch.no_grad()
    def write(self, memory: Memory) -> None:
        """Write the tensors to their places in ``memory``."""
        for tensor, place in self._places.values():
            _view(memory, place).copy_(tensor)

    def _place_of(self, thing: Any) -> Place | None:
        """Return the place of a tensor; None for all else, which pickle keeps, and so for tensors of other kinds."""
        if type(thing) is not torch.Tensor or thing.layout != torch.strided or thing.is_quantized or not thing.is_cpu:
            return None
        if id(thing) not in self._places:
            strides = torch.empty_like(thing, device="meta").stride()  # those of a copy without gaps
            self._places[id(thing)] = thing, (self.end, thing.dtype, tuple(thing.shape), tuple(strides))
            self.end += -(-thing.nbytes // ALIGNMENT) * ALIGNMENT
        return self._places[id(thing)][1]


class _Pickler(pickle.Pickler):
    def __init__(self, stream: io.BytesIO, place_of: Callable[[Any], Place | None]) -> None:
        super().__init__(stream, protocol=5)
        self._place_of = place_of

    def persistent_id(self, thing: Any) -> Place | None:
        """Return the place of a tensor; None for all else."""
        return self._place_of(thing)


class _Opener(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, memory: Memory) -> None:
        super().__init__(stream)
        self._memory = memory

    def persistent_load(self, place: Place) -> torch.Tensor:
        """Return the tensor at a place."""
        return _view(self._memory, place)


def _view(memory: Memory, place: Place) -> torch.Tensor:
    begin, dtype, shape, strides = place
    count = int(np.prod(shape, dtype=np.int64))
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    there = torch.from_numpy(memory[begin : begin + count * dtype.itemsize])
    return there.view(dtype).as_strided(shape, strides)
