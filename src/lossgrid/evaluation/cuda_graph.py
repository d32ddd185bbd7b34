"""Work on a GPU recorded once and replayed as one launch: a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM_UP = 2  # runs before recording, in which libraries choose and load their kernels


class CudaGraph:
    """What ``work`` did on the device when it was recorded; calling it does the same on what is there now.

    It reads and writes the same memory each time: the weights and data must stay where they are.
    """

    def __init__(self, work: Callable[[], torch.Tensor], device: torch.device) -> None:
        """Record ``work``, which must not look at values on the host.

        Raises:
            Exception: It does, or the device's memory does not suffice.
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
        """Do the work; return its result, which the next call overwrites."""
        self._graph.replay()
        return self._result
