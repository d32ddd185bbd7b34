"""One point of the surface: move the network, run the data through it, bring back a few numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lossgrid.data import Batches
from lossgrid.evaluation.captured import Captured
from lossgrid.evaluation.device import Place
from lossgrid.evaluation.fit import check_fit
from lossgrid.evaluation.network import Differs, Network, Unsuitable, describe, make_network
from lossgrid.evaluation.objective import Objective
from lossgrid.evaluation.plane import Plane

Tick = Callable[[], None]


@dataclass(frozen=True)
class Column:
    """A quantity of a point, such as ``train_loss`` in ``nats per sample``."""

    name: str
    units: str


class Evaluator:
    """A network on its device, with the data and the directions it is evaluated on."""

    def __init__(
        self,
        model: torch.nn.Module,
        batches: Mapping[str, Batches],
        objectives: Mapping[str, Objective],
        place: Place,
        *,
        delta: Mapping[str, torch.Tensor],
        eta: Mapping[str, torch.Tensor] | None,
    ) -> None:
        """Bring the network to the device, into evaluation mode, and lay out the plane.

        Args:
            model: The trained network; it is taken over, and moves from now on.
            batches: The data of each split, on the device.
            objectives: What to measure on each split.
            place: Device and number format.
            delta: First direction, by entry.
            eta: Second direction; None for a line.
        """
        self._model = to_place(model, place)
        self._batches, self._objectives, self.place = dict(batches), dict(objectives), place
        self._plane = Plane(self._model, delta, eta)
        self.network = Network("plain", self._model)
        self._captured: Captured | None = None

    @property
    def columns(self) -> list[Column]:
        """The quantities :meth:`point` returns, in its order, without the seconds."""
        columns = []
        for split, objective in self._objectives.items():
            columns.append(Column(f"{split}_loss", objective.units))
            if objective.counts_correct:
                columns.append(Column(f"{split}_accuracy", "1"))
        return columns

    @torch.inference_mode()
    def point(self, alpha: float, beta: float = 0.0, *, tick: Tick = lambda: None) -> npt.NDArray[np.float64]:
        """Evaluate one point.

        Sums are kept in float64 on the device and come to the host once, when all data have passed.

        Args:
            alpha: Coordinate along delta.
            beta: Coordinate along eta.
            tick: Called between batches, and while the device computes.

        Returns:
            The mean loss and accuracy of each split, in the order of :attr:`columns`, then the seconds it
            took; float64.
        """
        began = time.perf_counter()
        self._plane.move(alpha, beta)
        means = self._means(self.network, self.place, tick) if self._captured is None else self._captured()
        self.place.wait(tick)
        return np.append(means.cpu().numpy(), time.perf_counter() - began)

    @torch.inference_mode()
    def point_in_float32(self, alpha: float, beta: float = 0.0) -> npt.NDArray[np.float64]:
        """Evaluate one point with the plain network in float32, to tell the error of what is faster; as :meth:`point`.

        Returns:
            As :meth:`point`, without the seconds.
        """
        self._plane.move(alpha, beta)
        with self.place.in_float32() as exact:
            return self._means(Network("plain", self._model), exact).cpu().numpy()

    def _means(self, network: Network, place: Place, tick: Tick = lambda: None) -> torch.Tensor:
        """Run all data through ``network`` as it stands now; return the values of a point, float64, on the device."""
        network.refresh()
        sums = [self._sums(network, place, split, tick) / self._batches[split].samples for split in self._objectives]
        return torch.cat(sums)

    def _sums(self, network: Network, place: Place, split: str, tick: Tick) -> torch.Tensor:
        objective = self._objectives[split]
        total = torch.zeros(2 if objective.counts_correct else 1, dtype=torch.float64, device=place.device)
        for inputs, targets in self._batches[split]:
            with place.autocast():
                outputs = network.run(inputs)
            total += objective.sums(outputs, targets)
            tick()
        return total

    def use(self, variant: str) -> None:
        """Run the network as ``variant`` from now on; where that cannot be it runs as before.

        Compared with the plain network on the first and the last batch of each split, at theta*.

        Raises:
            Unsuitable: The network cannot be run so.
            Differs: It would be another function.
        """
        self._plane.restore()
        samples = [inputs for batches in self._batches.values() for inputs, _ in batches.ends()]
        self.network, self._captured = make_network(variant, self._model, samples, self.place), None

    @property
    def batch_size(self) -> int:
        """Samples per forward pass."""
        return next(iter(self._batches.values())).batch_size

    def rebatch(self, batch_size: int) -> None:
        """Cut the data into batches of another size from now on."""
        self._batches = {split: batches.rebatched(batch_size) for split, batches in self._batches.items()}
        self._captured = None

    @torch.inference_mode()
    def capture(self) -> None:
        """Replay whole points as a CUDA graph from now on.

        Raises:
            Unsuitable: There is no CUDA device, or the network or the loss does what cannot be recorded.
            Differs: The values would be others.
        """
        if self.place.device.type != "cuda":
            raise Unsuitable("this is no CUDA device")
        if not all(batches.resident for batches in self._batches.values()):
            raise Unsuitable("the data are not kept on the device")
        self._captured = None
        self._plane.restore()
        try:
            expected = self._means(self.network, self.place)
            captured = Captured(lambda: self._means(self.network, self.place), self.place.device)
            self._plane.restore()
            found = captured()
        except Exception as error:  # a network or a loss that looks at values on the host, or takes what is fixed
            raise Unsuitable(f"it fails ({describe(error)})") from None
        if not torch.equal(expected, found):
            raise Differs(f"its values are {found.tolist()} instead of {expected.tolist()}")
        self._captured = captured

    @property
    def is_captured(self) -> bool:
        """Tell whether points are replayed as a CUDA graph."""
        return self._captured is not None

    def check(self, name: str) -> bool:
        """Try the network, which is called ``name``, and the losses on the data; see :func:`.check_fit`."""
        return check_fit(name, self._model, self._batches, self._objectives, self.place)

    @torch.inference_mode()
    def seconds_of(self, inputs: torch.Tensor) -> float:
        """Return the seconds the network takes for a batch of inputs, now."""
        self.place.wait()
        began = time.perf_counter()
        with self.place.autocast():
            self.network.run(inputs)
        self.place.wait()
        return time.perf_counter() - began

    def first_inputs(self, count: int) -> torch.Tensor:
        """Return up to ``count`` inputs of the split with most samples, on the device."""
        return max(self._batches.values(), key=lambda batches: batches.samples).first(count)

    @property
    def samples(self) -> dict[str, int]:
        """Number of samples of each split."""
        return {split: batches.samples for split, batches in self._batches.items()}

    @torch.inference_mode()
    def bytes_per_sample(self) -> int:
        """Return the bytes a sample takes at both ends of the network, as input and as output."""
        inputs = self.first_inputs(1)
        with self.place.autocast():
            return inputs.nbytes + self._model(inputs).nbytes  # type: ignore[no-any-return]


def to_place(model: torch.nn.Module, place: Place) -> torch.nn.Module:
    """Put ``model`` on the device and in the dtype of ``place``, in evaluation mode, on CUDA laid out as its inputs."""
    model = model.to(device=place.device, dtype=place.dtype).eval().requires_grad_(False)
    if place.device.type == "cuda" and wants_channels_last(model):
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
    return model  # oneDNN brings weights into a layout of its own, which takes half the time from contiguous ones


def wants_channels_last(model: torch.nn.Module) -> bool:
    """Tell whether ``model`` has two-dimensional convolutions, which are faster with channels innermost."""
    return any(isinstance(module, torch.nn.Conv2d) for module in model.modules())
