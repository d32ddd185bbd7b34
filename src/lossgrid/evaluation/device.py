"""Where and how precisely a rank computes: its device, its number format."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch

from lossgrid.errors import InputError
from lossgrid.evaluation import arithmetic
from lossgrid.machine.gpus import describe_gpu, visible_gpus


@dataclass(frozen=True)
class Place:
    """The device and number format of a rank.

    Attributes:
        device: Where the model and the data are.
        precision: ``float32``, ``tf32``, ``bfloat16`` or ``float64``, as the user chose.
        dtype: Type of parameters and inputs: float64 for ``float64``, else float32.
        model: The GPU in words, ``"cpu"`` without one.
        uuid: The identity of the GPU, ``""`` on a CPU.
    """

    device: torch.device
    precision: str
    dtype: torch.dtype
    model: str
    uuid: str = ""

    @property
    def name(self) -> str:
        """The device in words, with its UUID where it has one."""
        return f"{self.model} ({self.uuid})" if self.uuid else self.model

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which the network runs: bfloat16 arithmetic over float32 parameters, or none.

        Autocast is switched off where it is not asked for: a user's module may have switched it on.
        """
        is_low = self.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_low, cache_enabled=False)

    def in_float32(self) -> Place:
        """Return the same place in float32; see also :func:`lossgrid.evaluation.arithmetic.in_float32`."""
        return replace(self, precision="float32")

    def wait(self, tick: Callable[[], object] = lambda: None) -> None:
        """Wait until the device has done what it was given; ``tick`` is called meanwhile."""
        if self.device.type == "cuda":
            done: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(torch.cuda.current_stream(self.device))
            while not done.query():
                tick()


def choose_place(device: str, precision: str, *, local_rank: int) -> Place:
    """Return the place of a rank: the GPU of its rank within the node, or the CPU.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: See :class:`Place`.
        local_rank: This rank among those on its node; with fewer GPUs than ranks they are shared in turn.

    Raises:
        InputError: There is no CUDA device, or the precision needs one.
    """
    gpus = visible_gpus()
    if device == "cuda" and not gpus:
        raise InputError("--device cuda: PyTorch sees no CUDA device here; use --device cpu or load the GPU's drivers")
    use_cuda = gpus > 0 and device != "cpu"
    if precision == "tf32" and not use_cuda:
        raise InputError("--precision tf32 is an arithmetic of NVIDIA GPUs; on the CPU use float32 or bfloat16")
    dtype = torch.float64 if precision == "float64" else torch.float32
    arithmetic.set_to(arithmetic.wanted(precision))
    if not use_cuda:
        return Place(torch.device("cpu"), precision, dtype, "cpu")
    index = local_rank % gpus
    torch.cuda.set_device(index)  # before anything else touches CUDA, or every rank opens a context on GPU 0
    gpu = describe_gpu(index)
    return Place(torch.device("cuda", index), precision, dtype, gpu.model, gpu.uuid)
