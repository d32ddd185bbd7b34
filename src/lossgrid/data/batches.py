"""Samples cut into batches: kept on the device, or brought there batch by batch where there are too many."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from lossgrid.data.numbers import is_finite
from lossgrid.data.split import Split, warn_of_one_class
from lossgrid.errors import InputError
from lossgrid.machine.gpus import gpu_memory_left
from lossgrid.machine.memory import memory_left

log = logging.getLogger(__name__)

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Target:
    """Where and in which form batches are wanted.

    Attributes:
        device: Where to.
        dtype: Floating-point type of inputs and real targets there, of complex ones that of their parts; integers stay
            integers.
        channels_last: Lay pictures ``(n, c, h, w)`` out with channels innermost.
    """

    device: torch.device
    dtype: torch.dtype
    channels_last: bool

    def __call__(self, inputs: torch.Tensor, targets: torch.Tensor) -> Batch:
        """Bring inputs and targets there; from pinned memory without waiting for the copy to end."""
        inputs = inputs.to(self.device, self._dtype_of(inputs) or inputs.dtype, non_blocking=True)
        targets = targets.to(self.device, self._dtype_of(targets) or torch.int64, non_blocking=True)
        if self.channels_last and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs, targets

    def _dtype_of(self, tensor: torch.Tensor) -> torch.dtype | None:
        """Return what real and complex numbers are there; None for integers."""
        if tensor.is_complex():
            return torch.complex128 if self.dtype == torch.float64 else torch.complex64
        return self.dtype if tensor.is_floating_point() else None

    def refuse_what_it_cannot_hold(self, split: Split) -> None:
        """Refuse numbers of a split in memory that are infinite there, and say where digits are lost.

        Raises:
            InputError: Some are.
        """
        for name, tensor in zip(("inputs", "targets"), split.tensors or (), strict=False):
            dtype = self._dtype_of(tensor)
            if dtype is None or tensor.dtype.itemsize <= dtype.itemsize:
                continue
            there = tensor.to(dtype)
            what = str(dtype).removeprefix("torch.")
            if not is_finite(there):
                raise InputError(
                    f"{split.source}: the {name} hold numbers too large for {what}; scale them or give --precision "
                    "float64"
                )
            if not torch.equal(there.to(tensor.dtype), tensor):
                log.info("%s: the %s are rounded to %s; --precision float64 keeps all digits", split.source, name, what)


@dataclass(frozen=True)
class Resident:
    """Samples kept on the device; batches are views of them, always the same."""

    inputs: torch.Tensor
    targets: torch.Tensor
    batch_size: int
    resident: ClassVar[bool] = True

    @property
    def samples(self) -> int:
        """Number of samples of all batches."""
        return len(self.inputs)

    def __iter__(self) -> Iterator[Batch]:
        return zip(*(torch.split(part, self.batch_size) for part in (self.inputs, self.targets)), strict=True)

    def ends(self) -> list[Batch]:
        """Return the first and the last batch."""
        last = (self.samples - 1) // self.batch_size * self.batch_size
        return [
            (self.inputs[start : start + self.batch_size], self.targets[start : start + self.batch_size])
            for start in (0, last)
        ]

    def first(self, count: int) -> torch.Tensor:
        """Return up to ``count`` inputs."""
        return self.inputs[:count]

    def rebatched(self, batch_size: int) -> Resident:
        """Return the same samples in batches of another size."""
        return replace(self, batch_size=batch_size)


@dataclass(frozen=True)
class Stream:
    """Batches brought to the device one by one: read from a Dataset, or cut from tensors in the host's memory."""

    split: Split
    target: Target
    batch_size: int
    resident: ClassVar[bool] = False

    @property
    def samples(self) -> int:
        """Number of samples of all batches."""
        return self.split.samples

    def __iter__(self) -> Iterator[Batch]:
        if self.target.device.type == "cuda":
            return _copied_ahead(self._on_host(), self.target)
        return (self.target(*batch) for batch in self._on_host())

    def ends(self) -> list[Batch]:
        """Return the first batch."""
        return [next(iter(self))]

    def first(self, count: int) -> torch.Tensor:
        """Return up to ``count`` inputs."""
        return next(iter(self.rebatched(count)))[0]

    def rebatched(self, batch_size: int) -> Stream:
        """Return the same samples in batches of another size."""
        return replace(self, batch_size=batch_size)

    def _on_host(self) -> Iterator[Batch]:
        if self.split.tensors is not None:
            return zip(*(torch.split(part, self.batch_size) for part in self.split.tensors), strict=True)
        # No worker processes: a fork after MPI has started may crash or hang (pytorch/pytorch #13787).
        starts = range(0, self.samples, self.batch_size)
        return (self.split.read(range(start, min(start + self.batch_size, self.samples))) for start in starts)


Batches = Resident | Stream


def _copied_ahead(batches: Iterator[Batch], target: Target) -> Iterator[Batch]:
    """Copy each batch to the CUDA device, on a stream of its own, while the device computes with the one before."""
    aside = torch.cuda.Stream(target.device)  # type: ignore[no-untyped-call]

    def copied(batch: Batch | None) -> Batch | None:
        if batch is None:
            return None
        with torch.cuda.stream(aside):
            return target(*(tensor.pin_memory() for tensor in batch))

    coming = copied(next(batches, None))
    while coming is not None:
        now = torch.cuda.current_stream(target.device)
        now.wait_stream(aside)
        for tensor in coming:
            tensor.record_stream(now)  # its memory belongs to the other stream, which must not reuse it too early
        yield coming
        coming = copied(next(batches, None))


def place(
    split: Split, *, device: torch.device, dtype: torch.dtype, batch_size: int, channels_last: bool, share: int = 1
) -> Batches:
    """Bring a split to ``device``; what does not fit into half of the memory left there is streamed.

    Args:
        split: The samples.
        device: Where to.
        dtype: Floating-point type of inputs and real targets there; integers stay integers.
        batch_size: Samples per batch; the last one may be smaller.
        channels_last: Lay pictures ``(n, c, h, w)`` out with channels innermost.
        share: How many ranks take of the same memory.

    Raises:
        InputError: Numbers of the split are infinite as ``dtype`` or not finite, or its Dataset raises.
    """
    target = Target(device, dtype, channels_last)
    target.refuse_what_it_cannot_hold(split)
    needed = split.samples * math.prod(split.shape) * dtype.itemsize
    fits = needed <= _memory_left(device) / (2 * share)
    if split.tensors is not None and (fits or device.type == "cpu"):
        return Resident(*target(*split.tensors), batch_size)
    stream = Stream(split, target, batch_size)
    return _kept(stream) if fits else stream


def _kept(stream: Stream) -> Resident:
    """Read all batches of ``stream`` once, into memory taken at once."""
    whole: list[torch.Tensor] = []
    start = 0
    for batch in stream:
        if not whole:
            whole = [_like(part, stream.samples) for part in batch]
        for tensor, part in zip(whole, batch, strict=True):
            tensor[start : start + len(part)] = part
        start += len(batch[0])
    inputs, targets = whole
    source = stream.split.source
    for name, tensor in (("inputs", inputs), ("targets", targets)):
        if not is_finite(tensor):
            what = str(tensor.dtype).removeprefix("torch.")
            raise InputError(f"{source}: the {name} hold numbers that are not finite as {what}")
    if stream.split.classification:
        warn_of_one_class(targets, source)
    return Resident(inputs, targets, stream.batch_size)


def _like(part: torch.Tensor, samples: int) -> torch.Tensor:
    """Return memory for so many samples of the shape, dtype, device and memory format of those in ``part``."""
    channels_last = part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last)
    return torch.empty(
        (samples, *part.shape[1:]), dtype=part.dtype, device=part.device,
        memory_format=torch.channels_last if channels_last else torch.contiguous_format,
    )  # fmt: skip


def _memory_left(device: torch.device) -> float:
    """Return the bytes that can still be taken on ``device``; on the CPU within the limits of the batch system."""
    if device.type == "cuda":
        return gpu_memory_left(device)
    return memory_left()
