"""Comparison of variants of a network with the user's module, at theta* and at a far point of the grid.

A variant can be right at theta* and wrong elsewhere: a value computed once, during rewriting, does not move with the
weights. Therefore the comparison includes moved points.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from lossgrid.data import Batch
from lossgrid.evaluation.conversion import entries_of
from lossgrid.evaluation.device import Device
from lossgrid.evaluation.plane import Plane
from lossgrid.measures.outputs import are_finite, kinds_of, tensors_of

Forward = Callable[[Callable[..., Any], Batch], Any]  # see the module ``forward``
Point = tuple[float, float]

AMPLIFIED = 8.0  # times the effect of roundings of the weights: the limit for a whole pass
FRACTIONS = (1.0, 0.5, 0.1, 0.01)  # of the way to the far point, tried until the outputs are finite
THETA: Point = (0.0, 0.0)


class Unsuitable(Exception):  # noqa: N818
    """A network has no such variant; the text names the reason."""


class Differs(Unsuitable):
    """A variant is another function than the network."""


@torch.inference_mode()
def far_point(forward: Forward, model: nn.Module, plane: Plane, reach: Point, batch: Batch, device: Device) -> Point:
    """Return the furthest point towards ``reach`` with finite outputs; theta* where there is none.

    Args:
        forward: The forward pass of a batch.
        model: The user's module.
        plane: Moves the entries of ``model``.
        reach: The coordinates of the grid furthest from 0, ``(alpha, beta)``.
        batch: A few samples.
        device: The device and its precision.
    """
    size = max(map(abs, reach))
    unit = (reach[0] / size, reach[1] / size) if size > 1.0 else reach
    for end, fraction in ((end, fraction) for end in (reach, unit) for fraction in FRACTIONS):
        point = (fraction * end[0], fraction * end[1])
        plane.move(*point)
        with device.autocast():
            outputs = forward(model, batch)
        if are_finite(outputs):
            plane.restore()
            return point
    plane.restore()
    return THETA


@torch.inference_mode()
def refuse_other_function(
    forward: Forward,
    run: Callable[..., Any],
    refresh: Callable[[], None],
    model: nn.Module,
    plane: Plane,
    points: Sequence[Point],
    batches: Sequence[Batch],
    device: Device,
    *,
    of_values: bool = False,
) -> None:
    """Refuse a variant that differs from ``model`` at points of the plane; the network ends at theta*.

    Args:
        forward: The forward pass of a batch.
        run: The variant.
        refresh: Updates the variant from the entries that ``plane`` has moved.
        model: The user's module.
        plane: Moves the entries of ``model``.
        points: Points of the comparison, ``(alpha, beta)``.
        batches: The batches that are compared.
        device: The device and its precision.
        of_values: Whether ``forward`` returns losses; near 0 these amplify round-off at theta* too.

    Raises:
        Unsuitable: ``run`` fails, or the outputs hold no tensors.
        Differs: Its outputs differ by more than round-off.
    """
    try:
        for point in points:
            plane.move(*point)
            refresh()
            for batch in batches:
                with device.autocast():
                    expected = forward(model, batch)
                    try:
                        found = forward(run, batch)
                    except Exception as error:  # a kernel or compiler is missing, or does not support the network
                        raise Unsuitable(f"it fails ({describe(error)})") from None
                if not tensors_of(expected):
                    raise Unsuitable(f"outputs of the type {type(expected).__name__} cannot be compared")
                if kinds_of(expected) != kinds_of(found):
                    raise Unsuitable(f"its outputs are of type {type(found).__name__}, not {type(expected).__name__}")
                apart = distance(expected, found)
                if apart <= device.format.variants:
                    continue
                amplifies = point != THETA or of_values or device.format.is_lower
                if amplifies and apart <= AMPLIFIED * noise(forward, model, plane, point, batch, expected, device):
                    continue
                where = "" if point == THETA else f" at ({point[0]:g}, {point[1]:g})"
                raise Differs(f"its outputs differ by {apart:.1e} of the largest{where}")
    finally:
        plane.restore()
        refresh()


def noise(
    forward: Forward, model: nn.Module, plane: Plane, point: Point, batch: Batch, expected: Any, device: Device
) -> float:
    """Return how far roundings of the weights change the outputs, as a fraction of the largest output.

    No variant can be more exact. Far from theta* some networks amplify the smallest difference. The network ends at
    ``point``.
    """
    plane.shake(device.format.roundings)
    with device.autocast():
        shaken = forward(model, batch)
    plane.move(*point)
    return distance(expected, shaken)


def distance(expected: Any, found: Any) -> float:
    """Return the largest difference as a fraction of the largest output; infinite if shapes or dtypes differ.

    Of outputs of several tensors it is the largest of all. Integers beside real numbers may differ: they follow from
    these, as a class follows from its scores.
    """
    ours, theirs = tensors_of(expected), tensors_of(found)
    if ours.keys() != theirs.keys():
        return math.inf
    real = [place for place, tensor in ours.items() if _is_real(tensor)] or list(ours)
    apart = [_apart(ours[place], theirs[place]) for place in real]
    same_form = all(ours[place].shape == theirs[place].shape for place in ours)
    return max(apart, default=0.0) if same_form and not any(map(math.isnan, apart)) else math.inf


def _is_real(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _apart(expected: torch.Tensor, found: torch.Tensor) -> float:
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return math.inf
    if torch.equal(expected, found):
        return 0.0
    if expected.dtype == torch.bool:
        return math.inf
    return float((expected - found).abs().max() / expected.abs().max())


def are_equal(one: Any, other: Any) -> bool:
    """Return whether all tensors of two outputs are equal to the bit."""
    ours, theirs = tensors_of(one), tensors_of(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[place], theirs[place]) for place in ours)


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
    forward: Forward, model: nn.Module, twin: nn.Module, plane: Plane, point: Point, batch: Batch, device: Device
) -> bool:
    """Return whether ``model``, moved, returns the outputs of a fresh copy with the same entries.

    A network that caches results of its weights, or reads them through an alias, returns other outputs.

    Args:
        forward: The forward pass of a batch.
        model: The user's module, after a pass at theta*.
        twin: A copy from before that pass.
        plane: Moves the entries of ``model``.
        point: Point of the comparison, ``(alpha, beta)``.
        batch: A few samples.
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
        expected, found = forward(twin, batch), forward(model, batch)
    same = distance(expected, found) <= device.format.variants
    plane.restore()
    return same
