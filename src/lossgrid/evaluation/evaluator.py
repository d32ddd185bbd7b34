"""The evaluation of one point: move the network, pass the data, return the values."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from lossgrid.data import Batch, Batches, nbytes
from lossgrid.evaluation import arithmetic
from lossgrid.evaluation.compatibility import check_fit
from lossgrid.evaluation.cuda_graph import Recorded
from lossgrid.evaluation.device import Device
from lossgrid.evaluation.fit import Fit
from lossgrid.evaluation.network import Network, make_network
from lossgrid.evaluation.passes import Launched, Tick, measure
from lossgrid.evaluation.point import Measured, Values
from lossgrid.evaluation.sameness import THETA, Differs, Unsuitable, describe, refuse_other_function
from lossgrid.evaluation.step_fit import check_step
from lossgrid.evaluation.subject import Subject
from lossgrid.measures import Measure, Metric, Objective, measures_of
from lossgrid.measures.outputs import tensors_of
from lossgrid.surface import Quantity

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluator:
    """A network on its device, with its data and directions.

    Only the position of the network changes. The methods ``with_...`` return another evaluator of the same network.

    Attributes:
        subject: The network and its plane.
        batches: The data of each split, on the device.
        objectives: The loss of each split; with a step none before :meth:`with_fit`.
        more: Measures besides the loss and the accuracy.
        network: The variant that runs.
        recorded: The passes of batches as CUDA graphs; None where kernels are launched one by one.
        reads: What built-in measures read of outputs of several tensors; empty if these are one tensor.
    """

    subject: Subject
    batches: Mapping[str, Batches]
    objectives: Mapping[str, Objective]
    more: Sequence[Metric]
    network: Network
    recorded: Recorded | None = None
    reads: str = ""

    @classmethod
    def of(
        cls,
        subject: Subject,
        batches: Mapping[str, Batches],
        objectives: Mapping[str, Objective],
        more: Sequence[Metric] = (),
    ) -> Evaluator:
        """Return an evaluator that runs the plain network.

        Args:
            subject: The network on its device.
            batches: The data of each split, on the device; brought there after the network, they leave it its room.
            objectives: The loss of each split.
            more: Measures besides the loss and the accuracy.
        """
        losses = {split: objective.bound_to(subject.model) for split, objective in objectives.items()}
        others = [metric.bound_to(subject.model) for metric in more]
        return cls(subject, dict(batches), losses, others, Network("plain", subject.model, forward=subject.forward))

    @property
    def device(self) -> Device:
        """The device and its precision."""
        return self.subject.device

    @cached_property
    def measures(self) -> dict[str, list[Measure]]:
        """The measures of each split, in the order of :attr:`quantities`."""
        return {
            split: measures_of(objective, [metric.measure for metric in self.more])
            for split, objective in self.objectives.items()
        }

    @cached_property
    def quantities(self) -> list[Quantity]:
        """The quantities that :meth:`point` returns, in its order."""
        return [one for split, own in self.measures.items() for measure in own for one in measure.quantities(split)]

    @torch.inference_mode()
    def point(self, alpha: float, beta: float = 0.0, *, tick: Tick = lambda: None) -> Measured:
        """Return the values of one point; they are copied to the host once, after the last batch.

        Args:
            alpha: Coordinate along delta.
            beta: Coordinate along eta.
            tick: Called between batches, and while the host waits for the device.
        """
        began = time.perf_counter()
        self.subject.plane.move(alpha, beta)
        passing = self.recorded or Launched(self.network, self.measures, self.device)
        found = measure(self.network, self.batches, self.measures, passing, tick=tick)
        self.device.wait(tick)
        values, errors = found.cpu().numpy()
        if self.device.precision == "float16" and not np.isfinite(values).all():
            log.info("point (%g, %g): not finite in float16, computed in float32", alpha, beta)
            values, errors = self._plainly_in_float32()
        return Measured(values, errors, time.perf_counter() - began)

    @torch.inference_mode()
    def plain_point(self, alpha: float, beta: float = 0.0, *, shaken: float = 0.0) -> Values:
        """Return the values of one point by the plain network, float64, shape ``(n_quantities,)``.

        Args:
            alpha: Coordinate along delta.
            beta: Coordinate along eta.
            shaken: Relative perturbation of all moved entries before the pass, as by round-off; 0 for none.
        """
        self.subject.plane.move(alpha, beta)
        if shaken:
            self.subject.plane.shake(shaken)
        return self._on_host(self._plain, self.device)[0]

    @torch.inference_mode()
    def point_in_float32(self, alpha: float, beta: float = 0.0) -> Values:
        """Return the values of one point, as :meth:`plain_point` does, computed in float32."""
        self.subject.plane.move(alpha, beta)
        return self._plainly_in_float32()[0]

    @torch.inference_mode()
    def glance(self, alpha: float, beta: float, batches: int) -> tuple[Values, Values]:
        """Return the values of one point on the first batches, computed as run and by the plain network in float32.

        Args:
            alpha: Coordinate along delta.
            beta: Coordinate along eta.
            batches: How many batches of each split.

        Returns:
            The values of both, each float64, shape ``(n_quantities,)``.
        """
        self.subject.plane.move(alpha, beta)
        return self._on_host(self.network, self.device, batches)[0], self._plainly_in_float32(batches)[0]

    @torch.inference_mode()
    def first_batches(self) -> Measured:
        """Return the values at theta* on the first batch of each split, and the time of that pass, in s."""
        self.subject.plane.restore()
        self.device.wait()
        began = time.perf_counter()
        passing = self.recorded or Launched(self.network, self.measures, self.device)
        values, errors = measure(self.network, self.batches, self.measures, passing, most=1).cpu().numpy()
        return Measured(values, errors, time.perf_counter() - began)

    def _plainly_in_float32(self, most: int | None = None) -> tuple[Values, Values]:
        """Return values and errors at the present point by the plain network in float32, on ``most`` batches or all."""
        with arithmetic.in_float32():
            return self._on_host(self._plain, self.device.in_float32(), most)

    def _on_host(self, network: Network, device: Device, most: int | None = None) -> tuple[Values, Values]:
        passing = Launched(network, self.measures, device)
        values, errors = measure(network, self.batches, self.measures, passing, most=most).cpu().numpy()
        return values, errors

    @property
    def _plain(self) -> Network:
        return Network("plain", self.subject.model, forward=self.subject.forward)

    def with_variant(self, variant: str) -> Evaluator:
        """Return an evaluator that runs the network as ``variant``, without CUDA graphs.

        The variant is compared with the plain network on the first and the last batch of each split, at theta* and at a
        far point of the grid.

        Raises:
            Unsuitable: The network has no such variant.
            Differs: The variant is another function.
        """
        subject = self.subject
        subject.plane.restore()
        if variant == "plain":
            return self.with_network(self._plain)
        forward = subject.forward
        if forward.needs_grad:
            raise Unsuitable("derivatives by the inputs are taken, of the network as it is")
        made = make_network(variant, subject.model, subject.inputs_of_few(), self.device)
        network = replace(made, run=forward.in_place_of(subject.model, made.run), forward=forward)
        refuse_other_function(
            forward, network.run, network.refresh, subject.model, subject.plane,
            points=[THETA] if subject.far == THETA else [THETA, subject.far],
            batches=[batch for batches in self.batches.values() for batch in batches.ends()],
            device=self.device, of_values=forward.step is not None,
        )  # fmt: skip
        return self.with_network(network)

    def with_network(self, network: Network) -> Evaluator:
        """Return an evaluator that runs ``network``, a variant of the same module, without CUDA graphs."""
        return replace(self, network=network, recorded=None)

    def with_fit(self, fit: Fit) -> Evaluator:
        """Return an evaluator of the losses and measures that :meth:`check` found, without CUDA graphs."""
        return replace(self, objectives=dict(fit.objectives), more=list(fit.more), reads=fit.reads, recorded=None)

    def with_batches_of(self, batch_size: int) -> Evaluator:
        """Return an evaluator of batches of ``batch_size`` samples, without CUDA graphs."""
        batches = {split: batches.rebatched(batch_size) for split, batches in self.batches.items()}
        return replace(self, batches=batches, recorded=None)

    @torch.inference_mode()
    def with_graphs(self) -> Evaluator:
        """Return an evaluator that replays the passes of batches as CUDA graphs.

        Raises:
            Unsuitable: There is no CUDA device, or the network, a loss or a measure cannot be recorded.
            Differs: The graphs return other values.
        """
        if self.device.type != "cuda":
            raise Unsuitable("this is no CUDA device")
        every = (measure for own in self.measures.values() for measure in own)
        if looking := [measure.name for measure in every if not measure.is_recordable]:
            raise Unsuitable(f"metric {looking[0]} keeps its sums itself, or reads numbers on the host")
        self.subject.plane.restore()
        ends = {split: batches.ends() for split, batches in self.batches.items()}
        launched = Launched(self.network, self.measures, self.device)
        try:
            expected = measure(self.network, ends, self.measures, launched)[0]
            recorded = Recorded(self.network, self.measures, self.device, ends)
            found = measure(self.network, ends, self.measures, recorded)[0]
        except Exception as error:  # such as a network or a loss that reads values on the host
            raise Unsuitable(f"it fails ({describe(error)})") from None
        if not torch.equal(expected, found):
            raise Differs(f"its values are {found.tolist()} instead of {expected.tolist()}")
        return replace(self, recorded=recorded)

    def check(self, name: str) -> Fit:
        """Try the network and the losses on some batches; see :func:`.check_fit`; ``name`` is for errors."""
        model, forward = self.subject.model, self.subject.forward
        if forward.step is not None:
            return check_step(forward.step, forward, model, self.batches, self.device)
        return check_fit(name, model, self.batches, self.objectives, self.device, more=self.more, forward=forward)

    @torch.inference_mode()
    def seconds_of(self, batch: Batch) -> float:
        """Return the time of one forward pass of ``batch``, in s."""
        self.device.wait()
        began = time.perf_counter()
        with self.device.autocast():
            self.network(batch)
        self.device.wait()
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
        """Number of samples of the largest split."""
        return max(self.samples.values())

    @property
    def most_batches(self) -> int:
        """Number of batches of the largest split."""
        return math.ceil(self.most_samples / self.batch_size)

    def first(self, count: int) -> Batch:
        """Return up to ``count`` samples of the largest split, on the device."""
        return _largest(self.batches).first(count)

    @torch.inference_mode()
    def bytes_per_sample(self) -> int:
        """Return the bytes of one sample: its input and its output."""
        batch = self.first(1)
        with self.device.autocast():
            outputs = self._plain(batch)
        return nbytes(batch.inputs) + sum(tensor.nbytes for tensor in tensors_of(outputs).values())


def _largest(batches: Mapping[str, Batches]) -> Batches:
    return max(batches.values(), key=lambda split: split.samples)
