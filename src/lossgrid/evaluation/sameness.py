"""Whether two ways to run a network are the same function: at theta*, and where the directions lead.

A rewritten network can be right at theta* and wrong elsewhere: what was computed once, when it was rewritten, does not
follow the weights. It is therefore compared with the user's module at moved points too.
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

# How far apart rounding alone can bring two variants, as a share of the largest output.
SAME = {"float64": 1e-10, "float32": 1e-4, "tf32": 2e-2, "bfloat16": 1e-1}
# Eight roundings of a number, as a share of it; and how much more than these the roundings of a whole pass may do.
ROUNDINGS = {"float64": 2.0**-50, "float32": 2.0**-21, "tf32": 2.0**-8, "bfloat16": 2.0**-6}
AMPLIFIED = 8.0
SHARES = (1.0, 0.5, 0.1, 0.01)  # of the way to the far point, until the outputs are finite
THETA: Point = (0.0, 0.0)


class Unsuitable(Exception):  # noqa: N818
    """A variant cannot be made of a network, for the reason given."""


class Differs(Unsuitable):
    """A variant was made, and turned out to be another function."""


@torch.inference_mode()
def far_point(model: nn.Module, plane: Plane, reach: Point, inputs: Tree, device: Device) -> Point:
    """Return the furthest point towards ``reach`` at which the outputs are still finite; theta* where there is none.

    Args:
        model: The user's module, whose entries ``plane`` moves.
        plane: The plane.
        reach: The coordinates of the grid that are furthest from 0.
        inputs: A batch.
        device: Device and number format.
    """
    size = max(map(abs, reach))
    unit = (reach[0] / size, reach[1] / size) if size > 1.0 else reach
    for end, share in ((end, share) for end in (reach, unit) for share in SHARES):
        point = (share * end[0], share * end[1])
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
    """Compare ``run`` with ``model`` on batches, at points of the plane; the network is at theta* afterwards.

    Args:
        run: The network as it is to be run.
        refresh: Lets it take over the entries that ``plane`` has moved.
        model: The user's module.
        plane: Moves the entries of ``model``.
        points: Where to compare.
        samples: Batches of inputs.
        device: Device and number format.

    Raises:
        Unsuitable: ``run`` fails.
        Differs: Its outputs differ by more than rounding.
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
        except Exception as error:  # kernels and compilers that are missing here, or do not take this network
            raise Unsuitable(f"it fails ({describe(error)})") from None
    apart = distance(expected, found)
    if apart <= SAME[device.precision]:
        return
    if point != THETA and apart <= AMPLIFIED * noise(model, plane, point, inputs, expected, device):
        return
    where = "" if point == THETA else f" at ({point[0]:g}, {point[1]:g})"
    raise Differs(f"its outputs differ by {apart:.1e} of the largest{where}")


def noise(model: nn.Module, plane: Plane, point: Point, inputs: Tree, expected: torch.Tensor, device: Device) -> float:
    """Return how far roundings of the weights move the outputs: what no way to compute them can be held to.

    Far from theta* some networks multiply the smallest difference. The network is back at ``point`` afterwards.
    """
    plane.shake(ROUNDINGS[device.precision])
    with device.autocast():
        shaken = call(model, inputs)
    plane.move(*point)
    return distance(expected, shaken)


def distance(expected: torch.Tensor, found: torch.Tensor) -> float:
    """Return the largest difference as a share of the largest output; infinite where shapes or types differ."""
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return math.inf
    if torch.equal(expected, found):
        return 0.0
    return float((expected - found).abs().max() / expected.abs().max())


def describe(error: Exception) -> str:
    """Return the kind of an error and the first line of its text."""
    text = (str(error).strip().splitlines() or ["no message"])[0]
    return f"{type(error).__name__}: {text[:200]}"


def twin_of(model: nn.Module) -> nn.Module | None:
    """Return a copy of a network that has not been moved yet; None where it cannot be copied."""
    try:
        return copy.deepcopy(model)
    except Exception:  # what users write into a network is not limited to what can be copied
        return None


@torch.inference_mode()
def follows_its_entries(
    model: nn.Module, twin: nn.Module, plane: Plane, point: Point, inputs: Tree, device: Device
) -> bool:
    """Tell whether ``model``, moved, computes what a fresh copy with the same entries computes.

    It does not where it keeps what it made of its weights before, or reads them in other memory than its parameters
    and buffers.

    Args:
        model: The user's module, whose entries ``plane`` moves; it has run at theta* before.
        twin: A copy that was made before, and has never run.
        plane: The plane.
        point: Where to compare.
        inputs: A few inputs.
        device: Device and number format.
    """
    plane.move(*point)
    own, fresh = entries_of(model), entries_of(twin)
    for name in plane.names:
        if name not in fresh:  # the network makes its entries while it runs
            plane.restore()
            return True
        fresh[name].copy_(own[name])
    with device.autocast():
        expected, found = call(twin, inputs), call(model, inputs)
    same = distance(expected, found) <= SAME[device.precision]
    plane.restore()
    return same
