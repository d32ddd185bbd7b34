"""One point of the surface: move the network, run the data through it, bring back a few numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lossgrid import userfn
from lossgrid.data import Batches
from lossgrid.errors import InputError
from lossgrid.evaluation.device import Place
from lossgrid.evaluation.fused import Fused, fuse
from lossgrid.evaluation.objective import Objective
from lossgrid.evaluation.plane import Plane

# How far apart rounding alone can bring the plain and the fused network, as a share of the largest output.
SAME = {"float64": 1e-10, "float32": 1e-4, "tf32": 2e-2, "bfloat16": 1e-1}


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
        self._batches, self._objectives, self._place = dict(batches), dict(objectives), place
        self._plane = Plane(self._model, delta, eta)
        self._fused: Fused | None = None

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
    def point(
        self, alpha: float, beta: float = 0.0, *, tick: Callable[[], None] = lambda: None
    ) -> npt.NDArray[np.float64]:
        """Evaluate one point.

        Sums are kept in float64 on the device and come to the host once, when all data have passed.

        Args:
            alpha: Coordinate along delta.
            beta: Coordinate along eta.
            tick: Called between batches.

        Returns:
            The mean loss and accuracy of each split, in the order of :attr:`columns`, then the seconds it
            took; float64.
        """
        began = time.perf_counter()
        self._plane.move(alpha, beta)
        if self._fused is not None:
            self._fused.refresh()
        sums = [self._pass(split, tick) / self._batches[split].samples for split in self._objectives]
        means = torch.cat(sums).cpu().numpy()
        return np.append(means, time.perf_counter() - began)

    def point_in_float32(self, alpha: float, beta: float = 0.0) -> npt.NDArray[np.float64]:
        """Evaluate one point in float32, to tell the rounding of a lower precision; as :meth:`point` otherwise."""
        own = self._place
        with own.in_float32() as self._place:
            try:
                return self.point(alpha, beta)
            finally:
                self._place = own

    @property
    def _network(self) -> Callable[[torch.Tensor], torch.Tensor]:
        return self._model if self._fused is None else self._fused

    @torch.inference_mode()
    def fuse(self) -> str:
        """Run the network with its normalisation folded from now on, if that is the same function.

        Compared with the plain network on the first and the last batch of each split, at theta*.

        Returns:
            Why not, empty where it does from now on.
        """
        samples = [inputs for batches in self._batches.values() for inputs, _ in batches.ends()]
        self._plane.restore()
        with self._place.autocast():
            expected = [self._model(inputs) for inputs in samples]
            try:
                fused = fuse(self._model, samples[0])
                found = [fused(inputs) for inputs in samples]
            except Exception as error:  # what users write into a network is not limited to what torch.fx can follow
                return f"torch.fx cannot follow the network ({type(error).__name__})"
        if not len(fused):
            return "no normalisation follows a layer it could be folded into"
        worst = max(_distance(a, b) for a, b in zip(expected, found, strict=True))
        if not worst <= SAME[self._place.precision]:
            return f"its outputs differ by {worst:.1e} of the largest"
        self._fused = fused
        return ""

    def unfuse(self) -> None:
        """Run the network as it is from now on."""
        self._fused = None

    @property
    def folded(self) -> int:
        """Number of normalisations that are folded away."""
        return 0 if self._fused is None else len(self._fused)

    def _pass(self, split: str, tick: Callable[[], None]) -> torch.Tensor:
        objective = self._objectives[split]
        total = torch.zeros(2 if objective.counts_correct else 1, dtype=torch.float64, device=self._place.device)
        for inputs, targets in self._batches[split]:
            with self._place.autocast():
                outputs = self._network(inputs)
            total += objective.sums(outputs, targets)
            tick()
        return total

    @torch.inference_mode()
    def check(self, name: str) -> bool:
        """Try the first batch of each split; return whether the network gives the same outputs twice.

        Args:
            name: What the network is called, for errors.

        Raises:
            InputError: The network, its outputs or the loss do not fit the data.
        """
        deterministic = True
        for split, objective in self._objectives.items():
            inputs, targets = next(iter(self._batches[split]))
            outputs = self._forward(name, inputs)
            if not isinstance(outputs, torch.Tensor) or len(outputs) != len(targets):
                given = f"shape {tuple(outputs.shape)}" if isinstance(outputs, torch.Tensor) else type(outputs).__name__
                raise InputError(
                    f"model {name}: expected a tensor with {len(targets)} rows for {len(targets)} inputs of split "
                    f"{split!r}, got {given}"
                )
            if objective.counts_correct:
                self._check_classes(name, split, outputs, targets)
            objective.sums(outputs, targets)
            deterministic &= torch.equal(outputs, self._forward(name, inputs)) or not bool(outputs.isfinite().all())
        return deterministic

    def _check_classes(self, name: str, split: str, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        if outputs.ndim < 2 or outputs.shape[:1] + outputs.shape[2:] != targets.shape:
            raise InputError(
                f"model {name}: expected a score for every class, shape ({len(targets)}, classes), for split {split!r} "
                f"with integer targets of shape {tuple(targets.shape)}, got {tuple(outputs.shape)}"
            )
        batches = self._batches[split]
        if batches.resident:  # then all targets can be looked at for nothing
            extremes = torch.stack([torch.stack(targets.aminmax()) for _, targets in batches])
            lowest, highest = int(extremes.min()), int(extremes.max())
        else:
            lowest, highest = int(targets.min()), int(targets.max())
        if lowest < 0 or highest >= outputs.shape[1]:
            raise InputError(
                f"split {split!r} has classes {lowest}..{highest}, but model {name} gives scores for "
                f"{outputs.shape[1]}; check --model-arg num_classes"
            )

    def _forward(self, name: str, inputs: torch.Tensor) -> torch.Tensor:
        with self._place.autocast():
            outputs: torch.Tensor = userfn.call(
                self._model, inputs, name=f"{name} on inputs of shape {tuple(inputs.shape)}", role="model"
            )
        return outputs


def _distance(expected: torch.Tensor, found: torch.Tensor) -> float:
    """Return the largest difference as a share of the largest output; infinite where shapes or types differ."""
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return math.inf
    return float((expected - found).abs().max() / expected.abs().max())


def to_place(model: torch.nn.Module, place: Place) -> torch.nn.Module:
    """Put ``model`` on the device and in the dtype of ``place``, in evaluation mode, convolutions in channels_last."""
    model = model.to(device=place.device, dtype=place.dtype).eval().requires_grad_(False)
    return model.to(memory_format=torch.channels_last) if wants_channels_last(model) else model  # type: ignore[call-overload]


def wants_channels_last(model: torch.nn.Module) -> bool:
    """Tell whether ``model`` has two-dimensional convolutions, which are faster with channels innermost."""
    return any(isinstance(module, torch.nn.Conv2d) for module in model.modules())
