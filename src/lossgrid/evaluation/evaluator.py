"""One point of the surface: move the network, run the data through it, bring back a few numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from lossgrid.data import Batches, Tree, nbytes
from lossgrid.evaluation import arithmetic
from lossgrid.evaluation.captured import Captured
from lossgrid.evaluation.device import Place
from lossgrid.evaluation.fit import Fit, check_fit
from lossgrid.evaluation.network import FEW, Network, make_network
from lossgrid.evaluation.passes import Tick, measure
from lossgrid.evaluation.sameness import THETA, Differs, Point, Unsuitable, describe, refuse_other_function
from lossgrid.evaluation.subject import Subject
from lossgrid.measures import Measure, Metric, Objective, accuracy, loss_of
from lossgrid.surface import Quantity

Values = npt.NDArray[np.float64]


class Measured(NamedTuple):
    """What came of a point.

    Attributes:
        values: The quantities, in the order of :attr:`Evaluator.quantities`, shape ``(n_quantities,)``, float64.
        errors: Their standard errors over the samples, of the same shape; NaN where not known.
        seconds: What the point cost.
    """

    values: Values
    errors: Values
    seconds: float


@dataclass(frozen=True)
class Evaluator:
    """A network on its device, with the data and the directions it is evaluated on.

    Nothing of it changes but for where the network stands: ``with_...`` return another one of the same network.

    Attributes:
        subject: The network that moves.
        batches: The data of each split, on the device.
        objectives: The loss of each split.
        more: What is measured beside the loss and the accuracy.
        network: How the network is run.
        graph: Replays a whole point as a CUDA graph; None where it is computed step by step.
    """

    subject: Subject
    batches: Mapping[str, Batches]
    objectives: Mapping[str, Objective]
    more: Sequence[Metric]
    network: Network
    graph: Captured | None = None

    @classmethod
    def of(
        cls,
        model: torch.nn.Module,
        batches: Mapping[str, Batches],
        objectives: Mapping[str, Objective],
        place: Place,
        *,
        delta: Mapping[str, torch.Tensor],
        eta: Mapping[str, torch.Tensor] | None,
        reach: Point = (1.0, 1.0),
        more: Sequence[Metric] = (),
    ) -> Evaluator:
        """Bring the network to the device, into evaluation mode, and lay out the plane; it is run plainly.

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
        subject = Subject.settled(model, place, _largest(batches).first(FEW), delta=delta, eta=eta, reach=reach)
        losses = {split: objective.bound_to(subject.model) for split, objective in objectives.items()}
        others = [metric.bound_to(subject.model) for metric in more]
        return cls(subject, dict(batches), losses, others, Network("plain", subject.model))

    @property
    def place(self) -> Place:
        """Device and number format."""
        return self.subject.place

    @cached_property
    def measures(self) -> dict[str, list[Measure]]:
        """What is measured on each split, in the order of :attr:`quantities`."""
        return {
            split: [
                loss_of(objective),
                *([accuracy()] if objective.counts_correct else []),
                *(metric.measure for metric in self.more),
            ]
            for split, objective in self.objectives.items()
        }

    @cached_property
    def quantities(self) -> list[Quantity]:
        """What :meth:`point` returns, in its order."""
        return [one for split, own in self.measures.items() for measure in own for one in measure.quantities(split)]

    @torch.inference_mode()
    def point(self, alpha: float, beta: float = 0.0, *, tick: Tick = lambda: None) -> Measured:
        """Evaluate one point; the numbers come to the host once, when all data have passed.

        Args:
            alpha: Coordinate along delta.
            beta: Coordinate along eta.
            tick: Called between batches, and while the device computes.
        """
        began = time.perf_counter()
        self.subject.plane.move(alpha, beta)
        found = self._measure(self.network, self.place, tick) if self.graph is None else self.graph()
        self.place.wait(tick)
        values, errors = found.cpu().numpy()
        return Measured(values, errors, time.perf_counter() - began)

    @torch.inference_mode()
    def plain_point(self, alpha: float, beta: float = 0.0, *, shaken: float = 0.0) -> Values:
        """Return the values of one point by the plain network, to check what is faster, shape ``(n_quantities,)``.

        Args:
            alpha: Coordinate along delta.
            beta: Coordinate along eta.
            shaken: Every number that moves is first changed by up to this share of it, as rounding would.
        """
        self.subject.plane.move(alpha, beta)
        if shaken:
            self.subject.plane.shake(shaken)
        return self._on_host(self._plain, self.place)

    @torch.inference_mode()
    def point_in_float32(self, alpha: float, beta: float = 0.0) -> Values:
        """Return the values of one point by the plain network in float32, to tell the error of a lower precision."""
        self.subject.plane.move(alpha, beta)
        return self._plainly_in_float32()

    @torch.inference_mode()
    def glance(self, alpha: float, beta: float, batches: int) -> tuple[Values, Values]:
        """Evaluate one point on the first batches alone, as the network is run, and plainly in float32.

        Args:
            alpha: Coordinate along delta.
            beta: Coordinate along eta.
            batches: How many batches of each split.

        Returns:
            The values of both, each as :meth:`plain_point` returns them.
        """
        self.subject.plane.move(alpha, beta)
        return self._on_host(self.network, self.place, batches), self._plainly_in_float32(batches)

    def _plainly_in_float32(self, most: int | None = None) -> Values:
        """Evaluate where the network stands, on the first ``most`` batches or all, without what makes it faster."""
        with arithmetic.in_float32():
            return self._on_host(self._plain, self.place.in_float32(), most)

    def _on_host(self, network: Network, place: Place, most: int | None = None) -> Values:
        values: Values = self._measure(network, place, most=most)[0].cpu().numpy()
        return values

    def _measure(
        self, network: Network, place: Place, tick: Tick = lambda: None, most: int | None = None
    ) -> torch.Tensor:
        return measure(network, self.batches, self.measures, place, tick=tick, most=most)

    @property
    def _plain(self) -> Network:
        return Network("plain", self.subject.model)

    def with_variant(self, variant: str) -> Evaluator:
        """Return one that runs the network as ``variant``, step by step.

        It is compared with the plain network on the first and the last batch of each split, at theta* and where the
        directions lead.

        Raises:
            Unsuitable: The network cannot be run so.
            Differs: It would be another function.
        """
        subject = self.subject
        subject.plane.restore()
        samples = [inputs for batches in self.batches.values() for inputs, _ in batches.ends()]
        network = make_network(variant, subject.model, samples[0], self.place)
        if variant != "plain":
            points = [THETA] if subject.far == THETA else [THETA, subject.far]
            run, refresh = network.run, network.refresh
            refuse_other_function(run, refresh, subject.model, subject.plane, points, samples, self.place)
        return self.with_network(network)

    def with_network(self, network: Network) -> Evaluator:
        """Return one that runs ``network``, a variant of the same module, step by step."""
        return replace(self, network=network, graph=None)

    def with_objectives(self, objectives: Mapping[str, Objective]) -> Evaluator:
        """Return one that measures these losses."""
        return replace(self, objectives=dict(objectives), graph=None)

    def with_batches_of(self, batch_size: int) -> Evaluator:
        """Return one whose data are cut into batches of that size, and which computes step by step."""
        batches = {split: batches.rebatched(batch_size) for split, batches in self.batches.items()}
        return replace(self, batches=batches, graph=None)

    @torch.inference_mode()
    def with_graph(self) -> Evaluator:
        """Return one that replays whole points as a CUDA graph.

        Raises:
            Unsuitable: There is no CUDA device, or the network or the loss does what cannot be recorded.
            Differs: The values would be others.
        """
        if self.place.device.type != "cuda":
            raise Unsuitable("this is no CUDA device")
        if not all(batches.resident for batches in self.batches.values()):
            raise Unsuitable("the data are not kept on the device")
        if looking := [metric.measure.name for metric in self.more if not metric.measure.is_recordable]:
            raise Unsuitable(f"metric {looking[0]} keeps its sums itself")
        self.subject.plane.restore()
        try:
            expected = self._measure(self.network, self.place)[0]
            graph = Captured(lambda: self._measure(self.network, self.place), self.place.device)
            self.subject.plane.restore()
            found = graph()[0]
        except Exception as error:  # a network or a loss that looks at values on the host, or takes what is fixed
            raise Unsuitable(f"it fails ({describe(error)})") from None
        if not torch.equal(expected, found):
            raise Differs(f"its values are {found.tolist()} instead of {expected.tolist()}")
        return replace(self, graph=graph)

    def without_graph(self) -> Evaluator:
        """Return one that computes points step by step."""
        return replace(self, graph=None)

    def check(self, name: str) -> Fit:
        """Try the network, which is called ``name``, and the losses on the data; see :func:`.check_fit`."""
        return check_fit(name, self.subject.model, self.batches, self.objectives, self.place, more=self.more)

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
    def batch_size(self) -> int:
        """Samples per forward pass."""
        return next(iter(self.batches.values())).batch_size

    @property
    def samples(self) -> dict[str, int]:
        """Number of samples of each split."""
        return {split: batches.samples for split, batches in self.batches.items()}

    @property
    def most_samples(self) -> int:
        """Number of samples of the split with most."""
        return max(self.samples.values())

    @property
    def most_batches(self) -> int:
        """Number of batches of the split with most samples."""
        return math.ceil(self.most_samples / self.batch_size)

    def first_inputs(self, count: int) -> Tree:
        """Return up to ``count`` inputs of the split with most samples, on the device."""
        return _largest(self.batches).first(count)

    @torch.inference_mode()
    def bytes_per_sample(self) -> int:
        """Return the bytes a sample takes at both ends of the network, as input and as output."""
        inputs = self.first_inputs(1)
        with self.place.autocast():
            return nbytes(inputs) + self._plain(inputs).nbytes


def _largest(batches: Mapping[str, Batches]) -> Batches:
    return max(batches.values(), key=lambda split: split.samples)
