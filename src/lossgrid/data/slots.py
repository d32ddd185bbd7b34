"""Slots through which batches go to a GPU while it computes: few of them, used again and again.

A batch passes three stations of a slot. The host writes it into a pinned buffer. The copying stream of the GPU copies
that into a buffer on the device. The computing stream clones this one: the clone belongs to whoever uses the batch.
A station waits until the next one is done with the batch before. So at most ``SLOTS`` batches wait at each, however
slow the device is.
"""

from __future__ import annotations

from itertools import accumulate, cycle
from typing import Any, Protocol

import torch

from lossgrid.data.batch import Batch

SLOTS = 2  # while the device computes with a batch, the next one is copied, and the host writes the one after it
ALIGNMENT = 512  # bytes; each tensor starts at a multiple, as in memory that PyTorch allocates
Event = Any  # a mark in a stream of the device, such as torch.cuda.Event; it is set again and again


class Lane(Protocol):
    """The operations of a device that slots need; all but ``buffers`` return at once."""

    def event(self) -> Event:
        """Return a mark that is not set; its method ``synchronize`` waits on the host until the device has passed it.

        One that was never set is passed.
        """

    def buffers(self, nbytes: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return buffers of ``nbytes`` on the host, pinned, and on the device, each uint8, shape ``(nbytes,)``."""

    def mark(self, event: Event) -> None:
        """Set ``event`` behind all that the computing stream has been given."""

    def send(self, here: torch.Tensor, there: torch.Tensor, *, after: Event, then: Event) -> None:
        """Copy ``here`` to ``there`` in the copying stream once ``after`` is passed; set ``then`` behind it."""

    def take(self, there: torch.Tensor, *, after: Event, then: Event) -> torch.Tensor:
        """Return a clone of ``there`` made in the computing stream once ``after`` is passed; set ``then`` behind it."""


class CudaLane:
    """The streams of a CUDA device: one for copies, and that in which the caller computes."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def event(self) -> Event:
        """Return a mark that is not set."""
        return torch.cuda.Event()  # type: ignore[no-untyped-call]

    def buffers(self, nbytes: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a pinned buffer and one on the device, each uint8, shape ``(nbytes,)``."""
        pinned = torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)
        return pinned, torch.empty(nbytes, dtype=torch.uint8, device=self._device)

    def mark(self, event: Event) -> None:
        """Set ``event`` behind all that the computing stream has been given."""
        event.record(torch.cuda.current_stream(self._device))

    def send(self, here: torch.Tensor, there: torch.Tensor, *, after: Event, then: Event) -> None:
        """Copy pinned memory to the device in the copying stream."""
        self._copying.wait_event(after)
        with torch.cuda.stream(self._copying):
            there.copy_(here, non_blocking=True)
        then.record(self._copying)

    def take(self, there: torch.Tensor, *, after: Event, then: Event) -> torch.Tensor:
        """Return a clone made in the computing stream."""
        torch.cuda.current_stream(self._device).wait_event(after)
        own = there.clone()
        self.mark(then)
        return own


class Slot:
    """A buffer on the host and one on the device, as large as the largest batch that came through."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._here = self._there = torch.empty(0, dtype=torch.uint8)
        self._sent, self._taken = lane.event(), lane.event()

    def through(self, batch: Batch) -> Batch:
        """Return ``batch`` on the device, with the dtypes and memory formats it has on the host."""
        nbytes = _ends(batch)[-1]
        self._sent.synchronize()
        if nbytes > len(self._here):
            self._grow(nbytes)
        for written, given in zip(_laid_out(batch, self._here).leaves, batch.leaves, strict=True):
            written.copy_(given)
        there = self._there[:nbytes]
        self._lane.send(self._here[:nbytes], there, after=self._taken, then=self._sent)
        return _laid_out(batch, self._lane.take(there, after=self._sent, then=self._taken))

    def _grow(self, nbytes: int) -> None:
        self._here = self._there = torch.empty(0, dtype=torch.uint8)  # free the old ones first
        with torch.inference_mode(False):  # tensors of inference mode could not be written to outside of it
            self._here, self._there = self._lane.buffers(nbytes)
        self._lane.mark(self._taken)  # the new memory may be in use until what was freed before is computed


class Slots:
    """The way of batches to a device; a call returns a batch there, whose values arrive in the computing stream."""

    def __init__(self, lane: Lane) -> None:
        self._turns = cycle([Slot(lane) for _ in range(SLOTS)])

    def __call__(self, batch: Batch) -> Batch:
        """Return a batch on the device; it is the caller's own."""
        return next(self._turns).through(batch)


def _ends(batch: Batch) -> list[int]:
    """Return where each tensor of a batch ends in a buffer, in bytes; it begins where the one before ends."""
    return list(accumulate(-(-leaf.nbytes // ALIGNMENT) * ALIGNMENT for leaf in batch.leaves))


def _laid_out(batch: Batch, buffer: torch.Tensor) -> Batch:
    """Return views of ``buffer`` in the form of a batch: tensors of the same shapes, dtypes and memory formats."""
    begins = iter([0, *_ends(batch)])
    return batch.apply(lambda leaf: _view(buffer[next(begins) :], leaf))


def _view(buffer: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    strides = torch.empty_like(like, device="meta").stride()  # those of ``like`` where it has no gaps
    return buffer[: like.nbytes].view(like.dtype).as_strided(like.shape, strides)
