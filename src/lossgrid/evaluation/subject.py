"""The user's network on its device, with its plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import nn

from lossgrid.data import Batch, Tree
from lossgrid.evaluation.conversion import report_rounding, to_device
from lossgrid.evaluation.device import Device
from lossgrid.evaluation.forward import Forward
from lossgrid.evaluation.head import give_head_back, keep_head_in_float32
from lossgrid.evaluation.plane import Plane
from lossgrid.evaluation.sameness import Point, far_point, follows_its_entries


@dataclass(frozen=True)
class Subject:
    """The network and its plane; only the position of the network changes.

    Attributes:
        model: The user's module on its device, at the last point of ``plane``.
        plane: Moves the entries of ``model``.
        device: The device and its precision.
        reach: The coordinates of the grid furthest from 0, ``(alpha, beta)``.
        few: A few samples, on the device, for trial passes.
        forward: The forward pass.
    """

    model: nn.Module
    plane: Plane
    device: Device
    reach: Point
    few: Batch
    forward: Forward

    @classmethod
    def of(
        cls,
        model: nn.Module,
        device: Device,
        few: Batch,
        *,
        forward: Forward,
        delta: Mapping[str, torch.Tensor],
        eta: Mapping[str, torch.Tensor] | None,
        reach: Point,
    ) -> Subject:
        """Convert ``model``, which is changed, to the device in evaluation mode, and make its plane.

        Args:
            model: The trained network; the subject owns and moves it.
            device: The device and its precision.
            few: A few samples, on the device.
            forward: The forward pass.
            delta: First direction, by entry.
            eta: Second direction; None for a line.
            reach: The coordinates of the grid furthest from 0, ``(alpha, beta)``.

        Raises:
            InputError: A number is beyond the range of the dtype, or an entry is quantised.
        """
        report_rounding(model, device)
        model = _converted(model, device, few, forward)
        plane = Plane(model, delta, eta)
        return cls(model, plane, device, (reach[0], 0.0 if eta is None else reach[1]), few, forward)

    @cached_property
    def far(self) -> Point:
        """The furthest point towards ``reach`` with finite outputs, ``(alpha, beta)``."""
        return far_point(self.forward, self.model, self.plane, self.reach, self.few, self.device)

    def in_precision(self, name: str) -> Subject:
        """Return the subject in another precision with parameters of the same dtype, at theta*.

        Both share ``model``, which is changed: only the subject made last may compute.
        """
        self.plane.restore()
        device = replace(self.device, precision=name)
        give_head_back(self.model)
        _converted(self.model, device, self.few, self.forward)
        return replace(self, device=device)

    @torch.inference_mode()
    def inputs_of_few(self) -> Tree:
        """Return what a forward pass of the few samples gives the network.

        Raises:
            Unsuitable: A step calls it in no way that another network could be called in.
        """
        with self.device.autocast():
            return self.forward.inputs_of(self.model, self.few)

    def follows_its_entries(self, twin: nn.Module) -> bool:
        """Return whether the network, moved, returns the outputs of its fresh copy; see :mod:`.sameness`."""
        twin = _converted(twin, self.device, self.few, self.forward)
        return follows_its_entries(self.forward, self.model, twin, self.plane, self.far, self.few, self.device)

    def why_not_finite(self, alpha: float, beta: float) -> str | None:
        """Return why the outputs at a point are not finite; None if the entries do not explain it."""
        self.plane.move(alpha, beta)
        return self.plane.why_not_finite()


def _converted(model: nn.Module, device: Device, few: Batch, forward: Forward) -> nn.Module:
    model = to_device(model, device)
    if device.is_cast:
        keep_head_in_float32(model, lambda: forward(model, few), device)
    return model
