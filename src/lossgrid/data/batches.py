"""Samples cut into batches: resident on the device, or, if they do not fit, streamed to it batch by batch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch

from lossgrid.data.batch import Batch, Tree, apply, at, count, is_tensor
from lossgrid.data.numbers import is_finite, refuse_infinite, subject, words_of
from lossgrid.data.split import Split, warn_of_one_class
from lossgrid.errors import InputError
from lossgrid.machine.gpus import gpu_memory_left
from lossgrid.machine.memory import memory_left

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Transfer:
    """Moves batches to a device, in a dtype and a memory format.

    Attributes:
        device: Device of the result.
        dtype: Floating-point type of inputs and real targets, and of the parts of complex ones; integers stay integers.
        channels_last: Lay pictures ``(n, c, h, w)`` out with channels innermost.
    """

    device: torch.device
    dtype: torch.dtype
    channels_last: bool

    def __call__(self, batch: Batch) -> Batch:
        """Return a batch on the device; from pinned memory the copy is asynchronous."""
        inputs, targets = batch
        truth = torch.int64 if is_tensor(targets) else torch.bool  # one of several targets may be a mask
        return Batch(apply(self._input, inputs), apply(lambda target: self._target(target, truth), targets))

    def _input(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.to(self.device, self._dtype_of(tensor) or tensor.dtype, non_blocking=True)
        return tensor.contiguous(memory_format=torch.channels_last) if self._is_picture(tensor) else tensor

    def _target(self, tensor: torch.Tensor, truth: torch.dtype) -> torch.Tensor:
        """Return targets on the device, integers as int64 and booleans as ``truth``."""
        whole = truth if tensor.dtype == torch.bool else torch.int64
        return tensor.to(self.device, self._dtype_of(tensor) or whole, non_blocking=True)

    def _is_picture(self, tensor: torch.Tensor) -> bool:
        return self.channels_last and tensor.ndim == 4

    def _dtype_of(self, tensor: torch.Tensor) -> torch.dtype | None:
        """Return the dtype of real and complex numbers on the device; None for integers."""
        if tensor.is_complex():
            return torch.complex128 if self.dtype == torch.float64 else torch.complex64
        return self.dtype if tensor.is_floating_point() else None

    def refuse_what_it_cannot_hold(self, split: Split) -> None:
        """Refuse numbers of a split in memory that overflow in ``dtype``, and log where digits are lost.

        Raises:
            InputError: A number overflows.
        """
        for name, tensor in ({} if split.whole is None else split.whole.named()).items():
            dtype = self._dtype_of(tensor)
            if dtype is None or tensor.dtype.itemsize <= dtype.itemsize:
                continue
            there = tensor.to(dtype)
            what = words_of(dtype)
            if not is_finite(there):
                they_hold = subject(name, "holds", "hold")
                raise InputError(
                    f"{split.source}: {they_hold} numbers too large for {what}; scale them or give --precision float64"
                )
            if not torch.equal(there.to(tensor.dtype), tensor):
                they_are = subject(name, "is", "are")
                log.info("%s: %s rounded to %s; --precision float64 keeps all digits", split.source, they_are, what)


@dataclass(frozen=True)
class Resident:
    """Samples on the device; batches are views of them, the same in each pass."""

    inputs: Tree
    targets: Tree
    batch_size: int
    resident: ClassVar[bool] = True

    @property
    def samples(self) -> int:
        """Number of samples of all batches."""
        return count(self.inputs)

    @property
    def whole(self) -> Batch:
        """All samples as one batch."""
        return Batch(self.inputs, self.targets)

    @cached_property
    def _batches(self) -> list[Batch]:
        return list(self.whole.cut(self.batch_size))

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)

    def ends(self) -> list[Batch]:
        """Return the first and the last batch."""
        last = (self.samples - 1) // self.batch_size * self.batch_size
        return [self.whole.at(slice(start, start + self.batch_size)) for start in (0, last)]

    def first(self, number: int) -> Tree:
        """Return up to ``number`` inputs."""
        return at(self.inputs, slice(number))

    def rebatched(self, batch_size: int) -> Resident:
        """Return the same samples in batches of another size."""
        return replace(self, batch_size=batch_size)


@dataclass(frozen=True)
class Stream:
    """Batches copied to the device one by one: read from a Dataset, or cut from tensors in the host's memory."""

    split: Split
    transfer: Transfer
    batch_size: int
    resident: ClassVar[bool] = False

    @property
    def samples(self) -> int:
        """Number of samples of all batches."""
        return self.split.samples

    def __iter__(self) -> Iterator[Batch]:
        if self.transfer.device.type == "cuda":
            return _copied_ahead(self._on_host(), self.transfer)
        return map(self.transfer, self._on_host())

    def ends(self) -> list[Batch]:
        """Return the first batch alone."""
        return [next(iter(self))]

    def first(self, number: int) -> Tree:
        """Return up to ``number`` inputs."""
        return next(iter(self.rebatched(number))).inputs

    def rebatched(self, batch_size: int) -> Stream:
        """Return the same samples in batches of another size."""
        return replace(self, batch_size=batch_size)

    def _on_host(self) -> Iterator[Batch]:
        if self.split.whole is not None:
            return self.split.whole.cut(self.batch_size)
        # No worker processes: a fork after MPI has started may crash or hang (pytorch/pytorch #13787).
        starts = range(0, self.samples, self.batch_size)
        return (self.split.read(range(start, min(start + self.batch_size, self.samples))) for start in starts)


Batches = Resident | Stream


def _copied_ahead(batches: Iterator[Batch], transfer: Transfer) -> Iterator[Batch]:
    """Copy each batch to the CUDA device, on a stream of its own, while the device computes with the one before."""
    aside = torch.cuda.Stream(transfer.device)  # type: ignore[no-untyped-call]

    def copied(batch: Batch | None) -> Batch | None:
        if batch is None:
            return None
        with torch.cuda.stream(aside):
            return transfer(batch.apply(torch.Tensor.pin_memory))

    coming = copied(next(batches, None))
    while coming is not None:
        now = torch.cuda.current_stream(transfer.device)
        now.wait_stream(aside)
        for tensor in coming.leaves:
            tensor.record_stream(now)  # the copying stream allocated it, and must not reuse it before this one is done
        yield coming
        coming = copied(next(batches, None))


def to_device(
    split: Split, *, device: torch.device, dtype: torch.dtype, batch_size: int, channels_last: bool, share: int = 1
) -> Batches:
    """Return a split in batches on ``device``; stream it where it needs more than half of the free memory.

    Args:
        split: The samples.
        device: Device of the batches.
        dtype: Floating-point type of inputs and real targets; integers stay integers.
        batch_size: Samples per batch; the last one may be smaller.
        channels_last: Lay pictures ``(n, c, h, w)`` out with channels innermost.
        share: How many ranks share the memory.

    Raises:
        InputError: A number of the split is not finite or overflows in ``dtype``, or its Dataset raises.
    """
    transfer = Transfer(device, dtype, channels_last)
    transfer.refuse_what_it_cannot_hold(split)
    fits = split.nbytes(dtype) <= _memory_left(device) / (2 * share)
    if split.whole is not None and (fits or device.type == "cpu"):
        there = transfer(split.whole)
        return Resident(there.inputs, there.targets, batch_size)
    stream = Stream(split, transfer, batch_size)
    return _kept(stream) if fits else stream


def _kept(stream: Stream) -> Resident:
    """Return all batches of ``stream``, read once into memory that is allocated at the first."""
    whole: Batch | None = None
    start = 0
    for batch in stream:
        if whole is None:
            whole = batch.apply(lambda part: _like(part, stream.samples))
        for tensor, part in zip(whole.leaves, batch.leaves, strict=True):
            tensor[start : start + len(part)] = part
        start += batch.samples
    assert whole is not None
    refuse_infinite(whole.named(), stream.split.source, "that are not finite as {dtype}")
    if stream.split.classification:
        warn_of_one_class(whole.targets, stream.split.source)
    return Resident(whole.inputs, whole.targets, stream.batch_size)


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
