"""The device of a rank, with its precision and its dtype."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch

from lossgrid.errors import InputError
from lossgrid.evaluation import arithmetic
from lossgrid.machine.gpus import describe_gpu, visible_gpus
from lossgrid.precision import PRECISIONS, Precision


@dataclass(frozen=True)
class Device:
    """The device of a rank, with its precision.

    Attributes:
        torch_device: Holds the network and the data.
        precision: ``float32``, ``tf32``, ``float16``, ``bfloat16`` or ``float64``, as set by the user.
        dtype: Type of parameters and inputs: float64 for ``float64``, else float32.
        model: Model name of the GPU; ``"cpu"`` on a CPU.
        uuid: UUID of the GPU; ``""`` on a CPU.
    """

    torch_device: torch.device
    precision: str
    dtype: torch.dtype
    model: str
    uuid: str = ""

    @property
    def type(self) -> str:
        """``cuda`` or ``cpu``."""
        return self.torch_device.type

    @property
    def name(self) -> str:
        """The model name of the device, with the UUID of a GPU."""
        return f"{self.model} ({self.uuid})" if self.uuid else self.model

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which the network runs: autocast to float16 or bfloat16, or no autocast.

        In other precisions autocast is disabled explicitly: a user's module may have enabled it.
        """
        dtype = self.layer_dtype if self.is_cast else torch.bfloat16
        return torch.autocast(self.type, dtype=dtype, enabled=self.is_cast, cache_enabled=False)

    @property
    def is_cast(self) -> bool:
        """Whether layers compute in another dtype than that of the parameters."""
        return self.format.autocast is not None

    @property
    def layer_dtype(self) -> torch.dtype:
        """The dtype in which layers compute."""
        return getattr(torch, self.format.autocast or self.format.parameters)  # type: ignore[no-any-return]

    @property
    def format(self) -> Precision:
        """The precision, with its tolerances."""
        return PRECISIONS[self.precision]

    def in_float32(self) -> Device:
        """Return the same device in float32; see also :func:`lossgrid.evaluation.arithmetic.in_float32`."""
        return replace(self, precision="float32")

    def wait(self, tick: Callable[[], object] = lambda: None) -> None:
        """Wait until the device has finished all work in its queue; call ``tick`` meanwhile."""
        if self.type == "cuda":
            done: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(torch.cuda.current_stream(self.torch_device))
            while not done.query():
                tick()


def choose_device(device: str, precision: str, *, local_rank: int) -> Device:
    """Return the device of a rank: the GPU of its local rank, or the CPU.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: See :class:`Device`.
        local_rank: Rank within the node; where there are more ranks than GPUs, rank ``i`` gets GPU ``i % gpus``.

    Raises:
        InputError: ``cuda`` without a CUDA device, or ``tf32`` or ``float16`` on the CPU.
    """
    gpus = visible_gpus()
    if device == "cuda" and not gpus:
        raise InputError("--device cuda: PyTorch sees no CUDA device here; use --device cpu or load the GPU's drivers")
    use_cuda = gpus > 0 and device != "cpu"
    if PRECISIONS[precision].of_gpus and not use_cuda:
        raise InputError(f"--precision {precision} is an arithmetic of GPUs; on the CPU use float32 or bfloat16")
    dtype = getattr(torch, PRECISIONS[precision].parameters)
    arithmetic.set_to(arithmetic.wanted(precision))
    if not use_cuda:
        return Device(torch.device("cpu"), precision, dtype, "cpu")
    index = local_rank % gpus
    torch.cuda.set_device(index)  # before anything else touches CUDA, or every rank opens a context on GPU 0
    gpu = describe_gpu(index)
    return Device(torch.device("cuda", index), precision, dtype, gpu.model, gpu.uuid)
