"""The user's network on its device, and the plane it moves in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from lossgrid.data.batch import Tree, at
from lossgrid.evaluation.conversion import report_rounding, to_device
from lossgrid.evaluation.device import Device
from lossgrid.evaluation.head import keep_head_in_float32
from lossgrid.evaluation.plane import Plane
from lossgrid.evaluation.sameness import Point, far_point, follows_its_entries


@dataclass(frozen=True)
class Subject:
    """The network that moves: everything here is fixed but for where it stands.

    Attributes:
        model: The user's module on its device; its entries are where ``plane`` has put them last.
        plane: Moves it.
        device: Device and number format.
        reach: The coordinates of the grid that are furthest from 0, along delta and along eta.
        few: A few inputs, on the device, to try it with.
    """

    model: nn.Module
    plane: Plane
    device: Device
    reach: Point
    few: Tree

    @classmethod
    def of(
        cls,
        model: nn.Module,
        device: Device,
        few: Tree,
        *,
        delta: Mapping[str, torch.Tensor],
        eta: Mapping[str, torch.Tensor] | None,
        reach: Point,
    ) -> Subject:
        """Bring ``model``, which is taken over, to its device and lay out the plane.

        Raises:
            InputError: A number of it does not fit into the format, or has none that can move.
        """
        report_rounding(model, device)
        model = _at(model, device, few)
        plane = Plane(model, delta, eta)
        return cls(model, plane, device, (reach[0], 0.0 if eta is None else reach[1]), few)

    @cached_property
    def far(self) -> Point:
        """The furthest point of the grid, towards both axes, at which the outputs are still finite."""
        return far_point(self.model, self.plane, self.reach, self.few, self.device)

    def follows_its_entries(self, twin: nn.Module) -> bool:
        """Tell whether the network, moved, computes what a fresh copy of it computes; see :mod:`.sameness`."""
        twin = _at(twin, self.device, self.few)
        return follows_its_entries(self.model, twin, self.plane, self.far, self.few, self.device)

    def why_not_finite(self, alpha: float, beta: float) -> str | None:
        """Say why the outputs at a point are not finite; None where the entries of the network do not explain it."""
        self.plane.move(alpha, beta)
        return self.plane.why_not_finite()


def _at(model: nn.Module, device: Device, few: Tree) -> nn.Module:
    model = to_device(model, device)
    if device.precision == "bfloat16":
        keep_head_in_float32(model, at(few, slice(1)), device)
    return model
