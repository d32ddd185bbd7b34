"""GPUs: how many PyTorch can use, their models, their free memory, and how many this process may open."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch


def visible_gpus() -> int:
    """Return how many CUDA devices PyTorch can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


@dataclass(frozen=True)
class Gpu:
    """A GPU: its model in words, and its UUID, by which two ranks can find out that they share it."""

    model: str
    uuid: str


def describe_gpu(index: int) -> Gpu:
    """Return the GPU that PyTorch calls ``cuda:index``."""
    properties = torch.cuda.get_device_properties(index)
    return Gpu(properties.name, f"GPU-{getattr(properties, 'uuid', index)}")  # torch has had it since 2.5


def gpu_memory_left(device: torch.device) -> float:
    """Return the bytes of a GPU that are free, or that PyTorch keeps in this process for tensors to come."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return float(torch.cuda.mem_get_info(device)[0] + kept)


def gpu_memory_peak(device: torch.device) -> int:
    """Return the most bytes of a GPU that PyTorch has kept in this process so far."""
    return torch.cuda.max_memory_reserved(device)


def is_for_gpus() -> bool:
    """Return whether this PyTorch was built for GPUs, whether or not it sees one here."""
    return torch.version.cuda is not None or torch.version.hip is not None


def nvidia_devices(devices: Path = Path("/dev")) -> int:
    """Return how many NVIDIA GPUs this process may open, whether or not PyTorch can use them.

    If ``CUDA_VISIBLE_DEVICES`` hides all GPUs on purpose, the number is 0.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1", "NoDevFiles"):
        return 0
    count = 0
    for device in devices.glob("nvidia[0-9]*"):
        with suppress(OSError):  # without a GPU in the job, batch systems leave the names but forbid opening them
            os.close(os.open(device, os.O_RDWR))
            count += 1
    return count
