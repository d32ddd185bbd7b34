"""CUDA graphs: work on a GPU, recorded once and replayed in one launch."""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM_UP = 2  # runs before recording; in them libraries choose and load their kernels


class CudaGraph:
    """A CUDA graph of ``work``; a call replays the recorded kernels on the current contents of the same memory.

    The weights and the data must therefore keep their addresses.
    """

    def __init__(self, work: Callable[[], torch.Tensor], device: torch.device) -> None:
        """Record ``work``, which must not read values on the host.

        Raises:
            Exception: ``work`` reads values on the host, or the memory of the device is too small.
        """
        aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                work()
        torch.cuda.current_stream(device).wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._result = work()

    def __call__(self) -> torch.Tensor:
        """Replay the work and return its result; the next call overwrites it."""
        self._graph.replay()
        return self._result
