"""Comparison of variants of a network with the user's module, at theta* and at a far point of the grid.

A variant can be right at theta* and wrong elsewhere: a value computed once, during rewriting, does not move with the
weights. Therefore the comparison includes moved points.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from lossgrid.data.batch import Tree
from lossgrid.evaluation.calling import call
from lossgrid.evaluation.conversion import entries_of
from lossgrid.evaluation.device import Device
from lossgrid.evaluation.plane import Plane

Run = Callable[..., torch.Tensor]
Point = tuple[float, float]

AMPLIFIED = 8.0  # times the effect of roundings of the weights: the limit for a whole pass
FRACTIONS = (1.0, 0.5, 0.1, 0.01)  # of the way to the far point, tried until the outputs are finite
THETA: Point = (0.0, 0.0)


class Unsuitable(Exception):  # noqa: N818
    """A network has no such variant; the text names the reason."""


class Differs(Unsuitable):
    """A variant is another function than the network."""


@torch.inference_mode()
def far_point(model: nn.Module, plane: Plane, reach: Point, inputs: Tree, device: Device) -> Point:
    """Return the furthest point towards ``reach`` with finite outputs; theta* where there is none.

    Args:
        model: The user's module.
        plane: Moves the entries of ``model``.
        reach: The coordinates of the grid furthest from 0, ``(alpha, beta)``.
        inputs: A batch.
        device: The device and its precision.
    """
    size = max(map(abs, reach))
    unit = (reach[0] / size, reach[1] / size) if size > 1.0 else reach
    for end, fraction in ((end, fraction) for end in (reach, unit) for fraction in FRACTIONS):
        point = (fraction * end[0], fraction * end[1])
        plane.move(*point)
        with device.autocast():
            outputs = call(model, inputs)
        if outputs.isfinite().all():
            plane.restore()
            return point
    plane.restore()
    return THETA


@torch.inference_mode()
def refuse_other_function(
    run: Run,
    refresh: Callable[[], None],
    model: nn.Module,
    plane: Plane,
    points: Sequence[Point],
    samples: Sequence[Tree],
    device: Device,
) -> None:
    """Refuse a variant that differs from ``model`` at points of the plane; the network ends at theta*.

    Args:
        run: The variant.
        refresh: Updates the variant from the entries that ``plane`` has moved.
        model: The user's module.
        plane: Moves the entries of ``model``.
        points: Points of the comparison, ``(alpha, beta)``.
        samples: Batches of inputs.
        device: The device and its precision.

    Raises:
        Unsuitable: ``run`` fails.
        Differs: Its outputs differ by more than round-off.
    """
    try:
        for point in points:
            plane.move(*point)
            refresh()
            for inputs in samples:
                _compare(run, model, plane, point, inputs, device)
    finally:
        plane.restore()
        refresh()


def _compare(run: Run, model: nn.Module, plane: Plane, point: Point, inputs: Tree, device: Device) -> None:
    with device.autocast():
        expected = call(model, inputs)
        try:
            found = call(run, inputs)
        except Exception as error:  # a kernel or compiler is missing, or does not support the network
            raise Unsuitable(f"it fails ({describe(error)})") from None
    apart = distance(expected, found)
    if apart <= device.format.variants:
        return
    if point != THETA and apart <= AMPLIFIED * noise(model, plane, point, inputs, expected, device):
        return
    where = "" if point == THETA else f" at ({point[0]:g}, {point[1]:g})"
    raise Differs(f"its outputs differ by {apart:.1e} of the largest{where}")


def noise(model: nn.Module, plane: Plane, point: Point, inputs: Tree, expected: torch.Tensor, device: Device) -> float:
    """Return how far roundings of the weights change the outputs, as a fraction of the largest output.

    No variant can be more exact. Far from theta* some networks amplify the smallest difference. The network ends at
    ``point``.
    """
    plane.shake(device.format.roundings)
    with device.autocast():
        shaken = call(model, inputs)
    plane.move(*point)
    return distance(expected, shaken)


def distance(expected: torch.Tensor, found: torch.Tensor) -> float:
    """Return the largest difference as a fraction of the largest output; infinite if shapes or dtypes differ."""
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return math.inf
    if torch.equal(expected, found):
        return 0.0
    return float((expected - found).abs().max() / expected.abs().max())


def describe(error: Exception) -> str:
    """Return the type of an error and the first line of its text."""
    text = (str(error).strip().splitlines() or ["no message"])[0]
    return f"{type(error).__name__}: {text[:200]}"


def twin_of(model: nn.Module) -> nn.Module | None:
    """Return a copy of a network at theta*; None where it cannot be copied."""
    try:
        return copy.deepcopy(model)
    except Exception:  # copying a user's network may raise any error
        return None


@torch.inference_mode()
def follows_its_entries(
    model: nn.Module, twin: nn.Module, plane: Plane, point: Point, inputs: Tree, device: Device
) -> bool:
    """Return whether ``model``, moved, returns the outputs of a fresh copy with the same entries.

    A network that caches results of its weights, or reads them through an alias, returns other outputs.

    Args:
        model: The user's module, after a pass at theta*.
        twin: A copy from before that pass.
        plane: Moves the entries of ``model``.
        point: Point of the comparison, ``(alpha, beta)``.
        inputs: A few inputs.
        device: The device and its precision.
    """
    plane.move(*point)
    own, fresh = entries_of(model), entries_of(twin)
    for name in plane.names:
        if name not in fresh:  # the network creates its entries in its first pass
            plane.restore()
            return True
        fresh[name].copy_(own[name])
    with device.autocast():
        expected, found = call(twin, inputs), call(model, inputs)
    same = distance(expected, found) <= device.format.variants
    plane.restore()
    return same
