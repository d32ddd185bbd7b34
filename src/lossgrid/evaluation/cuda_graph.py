"""CUDA graphs: the pass of a batch, recorded once for each form of a batch, and replayed in one launch.

A network of 56 layers launches more than a hundred kernels a batch, each from Python. A replay launches them all. One
graph per form serves any number of batches, also those that are streamed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from lossgrid.data import Batch
from lossgrid.evaluation.device import Device
from lossgrid.evaluation.network import Network
from lossgrid.evaluation.passes import Launched, Measures

MOST_FORMS = 32  # batches of further forms are not recorded: each graph keeps memory of its own


class Graph:
    """Work on a GPU, recorded; a call replays it on the present contents of the same memory."""

    def __init__(self, work: Callable[[], object], device: torch.device, pool: Any = None) -> None:
        """Run ``work`` twice, so that libraries choose and load their kernels, then record it.

        The second run refuses to wait for the device: what waits cannot be recorded, and a failed recording would
        leave torch's allocator in disorder. The current stream is restored in any case.

        Args:
            work: Must not read values on the host.
            device: The GPU.
            pool: Memory of another graph that this one may share, as they never run at once.

        Raises:
            Exception: ``work`` reads values on the host, or the memory of the device is too small.
        """
        aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        before = torch.cuda.current_stream(device)
        aside.wait_stream(before)
        with torch.cuda.stream(aside):
            work()
            with _without_waiting():
                work()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, pool=pool, stream=aside):
                work()
        before.wait_stream(aside)

    @property
    def pool(self) -> Any:
        """The memory of the graph."""
        return self._graph.pool()

    def __call__(self) -> None:
        """Replay the work."""
        self._graph.replay()


class Recorded:
    """The pass of batches, replayed: one graph for each form of a batch, and one for the update of the weights.

    Attributes:
        states: The states of the measures of each split; :meth:`start` resets them.
    """

    def __init__(
        self, network: Network, measures: Measures, device: Device, batches: Mapping[str, Iterable[Batch]]
    ) -> None:
        """Record the pass of ``batches``.

        Args:
            network: The variant that runs; its weights and those of the module keep their addresses.
            measures: The measures of each split.
            device: The GPU and its precision.
            batches: Batches of each form that will come, by split; those of other forms are launched kernel by kernel.

        Raises:
            Exception: A part reads values on the host, or the memory of the device is too small.
        """
        self._launched = Launched(network, measures, device)
        self.states = self._launched.states
        self._first = {split: [state.clone() for state in own] for split, own in self.states.items()}
        self._update = Graph(network.refresh, device.torch_device) if network.steps else None
        self._graphs: dict[Hashable, tuple[Graph, Batch]] = {}
        for split, own in batches.items():
            for batch in own:
                if (split, form(batch)) not in self._graphs and len(self._graphs) < MOST_FORMS:
                    self._record(split, batch, device)

    def _record(self, split: str, batch: Batch, device: Device) -> None:
        static = batch.apply(torch.Tensor.clone)
        pool = next((graph.pool for graph, _ in self._graphs.values()), None)
        graph = Graph(lambda: self._launched.add(split, static), device.torch_device, pool)
        self._graphs[split, form(batch)] = graph, static

    def start(self) -> None:
        """Update the network's weights from those of the module, and reset the states."""
        if self._update is not None:
            self._update()
        for split, first in self._first.items():
            torch._foreach_copy_(self.states[split], first)

    def add(self, split: str, batch: Batch) -> None:
        """Pass a batch and add it to the states of ``split``."""
        found = self._graphs.get((split, form(batch)))
        if found is None:
            self._launched.add(split, batch)
            return
        graph, static = found
        for target, source in zip(static.leaves, batch.leaves, strict=True):
            target.copy_(source)
        graph()


def form(batch: Batch) -> Hashable:
    """Return what batches have in common that one graph can pass: shape, dtype and layout of each tensor."""
    tensors = batch.named().items()
    return batch.label, batch.size, tuple((name, one.shape, one.dtype, one.stride()) for name, one in tensors)


@contextmanager
def _without_waiting() -> Iterator[None]:
    """Make torch raise an error where the host would wait for the device."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():  # torch calls the mode a prototype, which does not find everything
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
