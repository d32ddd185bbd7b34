"""One point of the surface: move the network, run the data through it, bring back a few numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from lossgrid.data import Batches, Tree, nbytes
from lossgrid.evaluation import arithmetic
from lossgrid.evaluation.captured import Captured
from lossgrid.evaluation.device import Place
from lossgrid.evaluation.fit import Fit, check_fit
from lossgrid.evaluation.head import keep_head_in_float32
from lossgrid.evaluation.network import FEW, Network, make_network
from lossgrid.evaluation.plane import Plane
from lossgrid.evaluation.sameness import (
    THETA,
    Differs,
    Point,
    Unsuitable,
    describe,
    far_point,
    follows_its_entries,
    refuse_other_function,
)
from lossgrid.evaluation.settling import report_rounding, to_place
from lossgrid.measures import Made, Measure, Objective, accuracy, bound, loss_of
from lossgrid.surface import Quantity

Tick = Callable[[], None]


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
        reach: Point = (1.0, 1.0),
        more: Sequence[Made] = (),
    ) -> None:
        """Bring the network to the device, into evaluation mode, and lay out the plane.

        Args:
            model: The trained network; it is taken over, and moves from now on.
            batches: The data of each split, on the device.
            objectives: What to measure on each split.
            place: Device and number format.
            delta: First direction, by entry.
            eta: Second direction; None for a line.
            reach: The coordinates of the grid that are furthest from 0, along delta and along eta.
            more: What to measure beside the loss and the accuracy.
        """
        report_rounding(model, place)
        self._model = to_place(model, place)
        self._batches, self.place = dict(batches), place
        self._objectives = {split: objective.bound_to(self._model) for split, objective in objectives.items()}
        self._more = [bound(made, self._model) for made in more]
        if place.precision == "bfloat16":
            keep_head_in_float32(self._model, self.first_inputs(1), place)
        self._plane = Plane(self._model, delta, eta)
        self._reach: Point = (reach[0], 0.0 if eta is None else reach[1])
        self._far: Point | None = None
        self.network = Network("plain", self._model)
        self._captured: Captured | None = None

    @property
    def quantities(self) -> list[Quantity]:
        """What :meth:`point` returns, in its order, without the seconds."""
        return [
            one for split in self._objectives for measure in self._measures(split) for one in measure.quantities(split)
        ]

    def _measures(self, split: str) -> list[Measure]:
        """Return what is measured on a split, in the order of :attr:`quantities`."""
        objective = self._objectives[split]
        classes = [accuracy()] if objective.counts_correct else []
        return [loss_of(objective), *classes, *(measure for measure, _ in self._more)]

    @torch.inference_mode()
    def point(self, alpha: float, beta: float = 0.0, *, tick: Tick = lambda: None) -> npt.NDArray[np.float64]:
        """Evaluate one point.

        Sums are kept in float64 on the device and come to the host once, when all data have passed.

        Args:
            alpha: Coordinate along delta.
            beta: Coordinate along eta.
            tick: Called between batches, and while the device computes.

        Returns:
            The mean loss and accuracy of each split, in the order of :attr:`quantities`, then the seconds it
            took; float64.
        """
        began = time.perf_counter()
        self._plane.move(alpha, beta)
        means = self._means(self.network, self.place, tick) if self._captured is None else self._captured()
        self.place.wait(tick)
        return np.append(means.cpu().numpy(), time.perf_counter() - began)

    @torch.inference_mode()
    def plain_point(self, alpha: float, beta: float = 0.0, *, shaken: float = 0.0) -> npt.NDArray[np.float64]:
        """Evaluate one point with the plain network, to check what is faster; as :meth:`point`.

        Args:
            alpha: Coordinate along delta.
            beta: Coordinate along eta.
            shaken: Every number that moves is first changed by up to this share of it, as rounding would.

        Returns:
            As :meth:`point`, without the seconds.
        """
        self._plane.move(alpha, beta)
        if shaken:
            self._plane.shake(shaken)
        return self._means(Network("plain", self._model), self.place).cpu().numpy()

    @torch.inference_mode()
    def point_in_float32(self, alpha: float, beta: float = 0.0) -> npt.NDArray[np.float64]:
        """Evaluate one point with the plain network in float32, to tell the error of a lower precision.

        Returns:
            As :meth:`point`, without the seconds.
        """
        self._plane.move(alpha, beta)
        return self._plainly_in_float32()

    @torch.inference_mode()
    def glance(
        self, alpha: float, beta: float, batches: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Evaluate one point on the first batches alone, as the network is run, and plainly in float32.

        Args:
            alpha: Coordinate along delta.
            beta: Coordinate along eta.
            batches: How many batches of each split.

        Returns:
            The values of both, each as :meth:`plain_point` returns them.
        """
        self._plane.move(alpha, beta)
        found = self._means(self.network, self.place, most=batches).cpu().numpy()
        return found, self._plainly_in_float32(batches)

    def _plainly_in_float32(self, most: int | None = None) -> npt.NDArray[np.float64]:
        """Evaluate where the network stands, on the first ``most`` batches or all, without what makes it faster."""
        with arithmetic.in_float32():
            return self._means(Network("plain", self._model), self.place.in_float32(), most=most).cpu().numpy()

    def _means(
        self, network: Network, place: Place, tick: Tick = lambda: None, most: int | None = None
    ) -> torch.Tensor:
        """Run the data through ``network`` as it stands now; return the values of a point, float64, on the device."""
        network.refresh()
        by_split = [self._values(network, place, split, tick, most) for split in self._objectives]
        found = torch.cat([value for values in by_split for value in values])
        for poison in network.poison():
            found = found + poison
        return found

    def _values(self, network: Network, place: Place, split: str, tick: Tick, most: int | None) -> list[torch.Tensor]:
        measures = self._measures(split)
        states = [measure.start(place.device) for measure in measures]
        for inputs, targets in islice(self._batches[split], most):
            with place.autocast():
                outputs = network(inputs)
            for measure, state in zip(measures, states, strict=True):
                measure.add(state, outputs, targets)
            tick()
        return [measure.values(state) for measure, state in zip(measures, states, strict=True)]

    def use(self, variant: str) -> None:
        """Run the network as ``variant`` from now on; where that cannot be it runs as before.

        Compared with the plain network on the first and the last batch of each split, at theta* and where the
        directions lead.

        Raises:
            Unsuitable: The network cannot be run so.
            Differs: It would be another function.
        """
        self._plane.restore()
        samples = [inputs for batches in self._batches.values() for inputs, _ in batches.ends()]
        network = make_network(variant, self._model, samples[0], self.place)
        if variant != "plain":
            points = [THETA] if self.far == THETA else [THETA, self.far]
            run, refresh = network.run, network.refresh
            refuse_other_function(run, refresh, self._model, self._plane, points, samples, self.place)
        self.network, self._captured = network, None

    @property
    def far(self) -> Point:
        """The furthest point of the grid, towards both axes, at which the outputs are still finite."""
        if self._far is None:
            self._far = far_point(self._model, self._plane, self._reach, self.first_inputs(FEW), self.place)
        return self._far

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
        if looking := [measure.name for measure, _ in self._more if not measure.is_recordable]:
            raise Unsuitable(f"metric {looking[0]} keeps its sums itself")
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

    def check(self, name: str) -> Fit:
        """Try the network, which is called ``name``, and the losses on the data; see :func:`.check_fit`."""
        fit = check_fit(name, self._model, self._batches, self._objectives, self.place, more=self._more)
        self._objectives, self.fit = dict(fit.objectives), fit
        return fit

    def follows_its_entries(self, twin: torch.nn.Module) -> bool:
        """Tell whether the network, moved, computes what a fresh copy of it computes; see :mod:`.sameness`."""
        twin = to_place(twin, self.place)
        if self.place.precision == "bfloat16":
            keep_head_in_float32(twin, self.first_inputs(1), self.place)
        return follows_its_entries(self._model, twin, self._plane, self.far, self.first_inputs(FEW), self.place)

    def why_not_finite(self, alpha: float, beta: float = 0.0) -> str | None:
        """Say why the outputs at a point are not finite; None where the entries of the network do not explain it."""
        self._plane.move(alpha, beta)
        return self._plane.why_not_finite()

    @torch.inference_mode()
    def seconds_of(self, inputs: Tree) -> float:
        """Return the seconds the network takes for a batch of inputs, now."""
        self.place.wait()
        began = time.perf_counter()
        with self.place.autocast():
            self.network(inputs)
        self.place.wait()
        return time.perf_counter() - began

    @property
    def batches(self) -> int:
        """Number of batches of the split with most samples."""
        return math.ceil(max(self.samples.values()) / self.batch_size)

    def first_inputs(self, count: int) -> Tree:
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
            return nbytes(inputs) + Network("plain", self._model)(inputs).nbytes
