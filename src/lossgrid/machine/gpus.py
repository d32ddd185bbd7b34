"""GPUs: how many PyTorch can use, and how many this process may open."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import torch


def visible_gpus() -> int:
    """Return how many CUDA devices PyTorch can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def nvidia_devices(devices: Path = Path("/dev")) -> int:
    """Return how many NVIDIA GPUs this process may open, whether or not PyTorch can use them.

    They do not count where ``CUDA_VISIBLE_DEVICES`` hides them all on purpose.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1", "NoDevFiles"):
        return 0
    count = 0
    for device in devices.glob("nvidia[0-9]*"):
        with suppress(OSError):  # a batch system that gave the job no GPU leaves the names and forbids the use
            os.close(os.open(device, os.O_RDWR))
            count += 1
    return count
