"""Samples on the device, cut into batches once; or streamed where there are too many to be kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from lossgrid.data.split import Split

Batch = tuple[torch.Tensor, torch.Tensor]


class Batches:
    """The batches of a split, always the same; iterating yields ``(inputs, targets)`` on the device."""

    def __init__(self, batches: Iterable[Batch], *, samples: int, resident: bool) -> None:
        """Wrap ``batches``; ``resident`` says that they are kept on the device."""
        self._batches, self.samples, self.resident = batches, samples, resident

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)

    def ends(self) -> list[Batch]:
        """Return the first batch, and of those that are kept also the last one, which may be smaller."""
        return [self._batches[0], self._batches[-1]] if isinstance(self._batches, list) else [next(iter(self))]


class Stream:
    """Batches read through a DataLoader and brought to the device one by one."""

    def __init__(self, loader: DataLoader[Any], device: torch.device, dtype: torch.dtype, channels_last: bool) -> None:
        """Read from ``loader``."""
        self._loader, self._device, self._dtype, self._channels_last = loader, device, dtype, channels_last

    def __iter__(self) -> Iterator[Batch]:
        for inputs, targets in self._loader:
            yield to_device(inputs, targets, self._device, self._dtype, self._channels_last)


def place(
    split: Split, *, device: torch.device, dtype: torch.dtype, batch_size: int, channels_last: bool, share: int = 1
) -> Batches:
    """Bring a split to ``device``; a Dataset that does not fit into half of the memory left there is streamed.

    Args:
        split: The samples.
        device: Where to.
        dtype: Floating-point type of inputs and real targets there; integers stay integers.
        batch_size: Samples per batch; the last one may be smaller.
        channels_last: Lay pictures ``(n, c, h, w)`` out with channels innermost.
        share: How many ranks take of the same memory.
    """
    tensors = split.tensors
    needed = split.samples * math.prod(split.shape) * dtype.itemsize
    fits = needed <= _memory_left(device) / (2 * share) or (tensors is not None and device.type == "cpu")
    if tensors is not None and fits:
        inputs, targets = to_device(*tensors, device, dtype, channels_last)
        parts = (torch.split(tensor, batch_size) for tensor in (inputs, targets))
        return Batches(list(zip(*parts, strict=True)), samples=split.samples, resident=True)
    # No worker processes: a fork after MPI has started may crash or hang (pytorch/pytorch #13787).
    loader = DataLoader(split.dataset, batch_size=batch_size, pin_memory=device.type == "cuda")
    stream = Stream(loader, device, dtype, channels_last)
    return Batches(list(stream) if fits else stream, samples=split.samples, resident=fits)


def to_device(
    inputs: torch.Tensor, targets: torch.Tensor, device: torch.device, dtype: torch.dtype, channels_last: bool
) -> Batch:
    """Return inputs and targets on ``device``, real numbers as ``dtype``, pictures channels_last where asked for."""
    inputs = inputs.to(device, dtype if inputs.is_floating_point() else None, non_blocking=True)
    targets = targets.to(device, dtype if targets.is_floating_point() else torch.int64, non_blocking=True)
    if channels_last and inputs.ndim == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    return inputs, targets


def _memory_left(device: torch.device) -> float:
    """Return the bytes that can still be taken on ``device``; on the CPU within the limits of the batch system."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    left = [math.inf]
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
        left.append(1024 * float(fields["MemAvailable"].split()[0]))
    own = Path("/proc/self/cgroup")
    if own.is_file():  # SLURM and containers limit memory by control groups, and end who takes more
        path = own.read_text().strip().rpartition("::/")[2]
        for group in (Path("/sys/fs/cgroup") / path, *(Path("/sys/fs/cgroup") / path).parents):
            limit, used = group / "memory.max", group / "memory.current"
            if limit.is_file() and used.is_file() and limit.read_text().strip() != "max":
                left.append(float(limit.read_text()) - float(used.read_text()))
    return min(left)
