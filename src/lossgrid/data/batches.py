"""Samples cut into batches: resident on the device, or, if they do not fit, streamed to it batch by batch.

Batches of a user's collate function may have different widths. They are kept as a list, and made anew for another size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch

from lossgrid.data.batch import Batch, Tree, count, leaves
from lossgrid.data.numbers import refuse_infinite
from lossgrid.data.slots import CudaLane, Slots
from lossgrid.data.split import Split, warn_of_one_class
from lossgrid.data.transfer import Transfer
from lossgrid.machine.gpus import gpu_memory_left
from lossgrid.machine.memory import memory_left


@dataclass(frozen=True)
class Resident:
    """Samples on the device; batches are views of them, the same in each pass."""

    inputs: Tree
    targets: Tree
    batch_size: int
    label: str | None = None
    resident: ClassVar[bool] = True

    @property
    def samples(self) -> int:
        """Number of samples of all batches."""
        return count(self.inputs)

    @property
    def whole(self) -> Batch:
        """All samples as one batch."""
        return Batch(self.inputs, self.targets, self.label)

    @cached_property
    def _batches(self) -> list[Batch]:
        return list(self.whole.cut(self.batch_size))

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)

    def ends(self) -> list[Batch]:
        """Return the first and the last batch."""
        last = (self.samples - 1) // self.batch_size * self.batch_size
        return [self.whole.at(slice(start, start + self.batch_size)) for start in (0, last)]

    def first(self, number: int) -> Batch:
        """Return up to ``number`` samples."""
        return self.whole.at(slice(number))

    def at(self, indices: list[int]) -> Batch:
        """Return the samples at ``indices`` as a batch."""
        return self.whole.at(torch.tensor(indices, device=leaves(self.inputs)[0].device))

    def rebatched(self, batch_size: int) -> Resident:
        """Return the same samples in batches of another size."""
        return replace(self, batch_size=batch_size)


@dataclass(frozen=True)
class Stream:
    """Batches copied to the device one by one: read from a Dataset, or cut from tensors in the host's memory.

    Attributes:
        split: The samples.
        transfer: Moves them.
        batch_size: Samples per batch; the last one may be smaller.
        slots: The way to a GPU, on which batches are copied while it computes; None for the CPU.
    """

    split: Split
    transfer: Transfer
    batch_size: int
    slots: Slots | None = None
    resident: ClassVar[bool] = False

    @property
    def samples(self) -> int:
        """Number of samples of all batches."""
        return self.split.samples

    def __iter__(self) -> Iterator[Batch]:
        batches = self._on_host()
        return map(self.transfer, batches if self.slots is None else map(self.slots, batches))

    def ends(self) -> list[Batch]:
        """Return the first batch alone."""
        return [self.first(self.batch_size)]

    def first(self, number: int) -> Batch:
        """Return up to ``number`` samples."""
        return self.transfer(next(self.rebatched(number)._on_host()))

    def at(self, indices: list[int]) -> Batch:
        """Return the samples at ``indices`` as a batch."""
        return self.transfer(self.split.read(indices))

    def rebatched(self, batch_size: int) -> Stream:
        """Return the same samples in batches of another size."""
        return replace(self, batch_size=batch_size)

    def _on_host(self) -> Iterator[Batch]:
        if self.split.whole is not None:
            return self.split.whole.cut(self.batch_size)
        # No worker processes: a fork after MPI has started may crash or hang (pytorch/pytorch #13787).
        starts = range(0, self.samples, self.batch_size)
        return (self.split.read(range(start, min(start + self.batch_size, self.samples))) for start in starts)


@dataclass(frozen=True)
class Collated:
    """Batches of a user's collate function, kept on the device; those of another size are read anew.

    Attributes:
        stream: Reads the batches.
        batches: All of them.
    """

    stream: Stream
    batches: list[Batch]
    resident: ClassVar[bool] = True

    @classmethod
    def of(cls, stream: Stream) -> Collated:
        """Return the batches of ``stream``, read now: what is wrong with one is an error before the work.

        Raises:
            InputError: The Dataset or the collate function raises, or a number is not finite.
        """
        split, batches = stream.split, list(stream)
        for batch in batches:
            refuse_infinite(batch.named(), split.source, "that are not finite as {dtype}")
        if split.classification and all(batch.targets.ndim == 1 for batch in batches):
            warn_of_one_class(torch.cat([batch.targets for batch in batches]), split.source)
        return cls(stream, batches)

    @property
    def batch_size(self) -> int:
        """Samples per batch; the last one may be smaller."""
        return self.stream.batch_size

    @property
    def samples(self) -> int:
        """Number of samples of all batches."""
        return self.stream.samples

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def ends(self) -> list[Batch]:
        """Return the first and the last batch."""
        return [self.batches[0], self.batches[-1]]

    def first(self, number: int) -> Batch:
        """Return up to ``number`` samples, collated."""
        return self.stream.first(number)

    def at(self, indices: list[int]) -> Batch:
        """Return the samples at ``indices`` as a batch."""
        return self.stream.at(indices)

    def rebatched(self, batch_size: int) -> Collated:
        """Return the same samples in batches of another size."""
        stream = self.stream.rebatched(batch_size)
        same = min(batch_size, self.samples) == min(self.batch_size, self.samples)
        return Collated(stream, self.batches) if same else Collated.of(stream)


Batches = Resident | Stream | Collated
READ_AT_ONCE = 128  # samples of a Dataset, on their way into memory
RESERVED = {"cpu": 0.5, "cuda": 0.25}  # part of the free memory that data leave, to activations above all


def first_of(splits: Mapping[str, Split], count: int, transfer: Transfer) -> Batch:
    """Return up to ``count`` samples of the largest split on the device; no others need to be there."""
    largest = max(splits.values(), key=lambda split: split.samples)
    return Stream(largest, transfer, count).first(count)


def all_to_device(
    splits: Mapping[str, Split], transfer: Transfer, *, batch_size: int, share: int = 1
) -> dict[str, Batches]:
    """Return splits in batches on the device; those that do not fit beside the ones before them are streamed.

    What else the device has to hold, such as a network, must be there before.

    Args:
        splits: The samples, by name.
        transfer: Moves them.
        batch_size: Samples per batch; the last one may be smaller.
        share: How many ranks share the memory.

    Raises:
        InputError: As :func:`to_device`.
    """
    left, found = room(transfer.device, share), {}
    for name, split in splits.items():
        found[name] = _brought(split, transfer, batch_size, left)
        left -= split.nbytes(transfer.dtype) if found[name].resident else 0
    return found


def to_device(
    split: Split, *, device: torch.device, dtype: torch.dtype, batch_size: int, channels_last: bool
) -> Batches:
    """Return a split in batches on ``device``; stream it where it does not fit into the memory there.

    Args:
        split: The samples.
        device: Device of the batches.
        dtype: Floating-point type of inputs and real targets; integers stay integers.
        batch_size: Samples per batch; the last one may be smaller.
        channels_last: Lay pictures ``(n, c, h, w)`` out with channels innermost.

    Raises:
        InputError: A number of the split is not finite or overflows in ``dtype``, or its Dataset raises.
    """
    return _brought(split, Transfer(device, dtype, channels_last), batch_size, room(device))


def room(device: torch.device, share: int = 1) -> float:
    """Return the bytes that data may take on ``device``: what is free there, less a reserve, divided by ``share``."""
    return (1 - RESERVED[device.type]) * _memory_left(device) / share


def _brought(split: Split, transfer: Transfer, batch_size: int, most: float) -> Batches:
    """Return a split in batches on the device, streamed if it needs more than ``most`` bytes there."""
    transfer.refuse_what_it_cannot_hold(split)
    on_cpu, fits = transfer.device.type == "cpu", split.nbytes(transfer.dtype) <= most
    if on_cpu and split.whole is not None:
        there = transfer(split.whole)
        return Resident(there.inputs, there.targets, batch_size, there.label)
    stream = Stream(split, transfer, batch_size, None if on_cpu else Slots(CudaLane(transfer.device)))
    if not fits:
        return stream
    if split.collate is not None:
        return Collated.of(stream)
    return _kept(stream)


def in_memory(split: Split, transfer: Transfer, most: float) -> Split:
    """Return a split with all its samples in the host's memory, as a CPU computes with them.

    Samples that are read one by one stay so where they need more than ``most`` bytes, or are collated by a user.

    Raises:
        InputError: As :func:`to_device`.
    """
    if split.whole is not None:
        return transfer.of_split(split)
    if split.collate is not None or split.nbytes(transfer.dtype) > most:
        return split
    return replace(split, whole=_kept(Stream(split, transfer, READ_AT_ONCE)).whole, dataset=None)


def _kept(stream: Stream) -> Resident:
    """Return all batches of ``stream``, copied one by one into memory that is allocated at the first.

    Raises:
        InputError: The Dataset raises, or a number is not finite.
    """
    whole: Batch | None = None
    start = 0
    for batch in stream:
        if whole is None:
            whole = batch.apply(lambda part: _like(part, stream.samples))
        for tensor, part in zip(whole.leaves, batch.leaves, strict=True):
            tensor[start : start + len(part)] = part
        start += batch.samples
    assert whole is not None
    if stream.split.whole is None:
        refuse_infinite(whole.named(), stream.split.source, "that are not finite as {dtype}")
        if stream.split.classification:
            warn_of_one_class(whole.targets, stream.split.source)
    return Resident(whole.inputs, whole.targets, stream.batch_size, whole.label)


def _like(part: torch.Tensor, samples: int) -> torch.Tensor:
    """Return an empty tensor for ``samples`` samples with the shape, dtype, device and memory format of ``part``."""
    channels_last = part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last)
    return torch.empty(
        (samples, *part.shape[1:]), dtype=part.dtype, device=part.device,
        memory_format=torch.channels_last if channels_last else torch.contiguous_format,
    )  # fmt: skip


def _memory_left(device: torch.device) -> float:
    """Return the bytes that can be allocated on ``device``; on the CPU within the limits of the batch system."""
    if device.type == "cuda":
        return gpu_memory_left(device)
    return memory_left()
