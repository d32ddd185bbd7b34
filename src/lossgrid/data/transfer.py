"""The move of batches to a device: dtypes, memory format, and the refusal of numbers that do not fit."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import torch

from lossgrid.data.batch import Batch, apply, is_tensor
from lossgrid.data.numbers import is_finite, subject, words_of
from lossgrid.data.split import Split
from lossgrid.errors import InputError

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
        targets = apply(lambda target: self._target(target, truth), targets)
        return Batch(apply(self._input, inputs), targets, batch.label, batch.size)

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

    def of_split(self, split: Split) -> Split:
        """Return a split in memory with all its samples on the device; the split itself if nothing changes.

        Samples that are read one by one stay as they are.

        Raises:
            InputError: A number overflows.
        """
        if split.whole is None:
            return split
        self.refuse_what_it_cannot_hold(split)
        there = self(split.whole)
        is_new = any(new is not old for new, old in zip(there.leaves, split.whole.leaves, strict=True))
        return replace(split, whole=there, dataset=None) if is_new else split

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
