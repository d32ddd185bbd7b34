"""The point (0, 0), the trained network itself: computed first, so that the user sees at once whether it is his."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lossgrid import readers
from lossgrid.surface import Axis, Grid, Quantity

log = logging.getLogger(__name__)

DEVIATIONS = 3.0  # standard deviations above the accuracy of guessing, up to which it is no better


def hint_where_missing(grid: Grid) -> None:
    """Say how a grid without (0, 0) would have it."""
    if grid.centre is not None:
        return
    for name, axis in (("alpha", grid.alpha), ("beta", grid.beta)):
        if axis is not None and 0.0 not in axis.values():
            log.warning(
                "0 is no point of --%s %s, so the trained network itself is not on the surface%s",
                name,
                axis,
                _remedy(axis),
            )


def _remedy(axis: Axis) -> str:
    for count in range(axis.count + 1, axis.count + 4):
        more = Axis(axis.minimum, axis.maximum, count) if axis.count > 1 else axis
        if 0.0 in more.values():
            return f"; {more} has it"
    return ""


def warn_of_guessing(
    quantities: Sequence[Quantity],
    values: Sequence[float],
    samples: Mapping[str, int],
    classes: Mapping[str, int | None],
    data: str,
) -> None:
    """Warn where the accuracy of a trained network is no better than that of guessing.

    Args:
        quantities: What was measured.
        values: What was found.
        samples: Number of samples of each split.
        classes: Number of classes of each split, where it is known.
        data: The data as they are called.
    """
    for quantity, value in zip(quantities, values, strict=True):
        split = quantity.split
        count = classes.get(split) if quantity.kind == "accuracy" else None
        if count is None or count < 2 or math.isnan(value):
            continue
        chance = 1.0 / count
        if value <= chance + DEVIATIONS * math.sqrt(chance * (1.0 - chance) / samples[split]):
            log.warning(
                "the %s accuracy at the centre, %.4f, is that of guessing among %d classes: does the checkpoint belong "
                "to this network, and are the data normalised as in its training%s?",
                split, value, count, _normalisations(data),
            )  # fmt: skip


def _normalisations(data: str) -> str:
    """Say which normalisations the data can be given; empty where they have no such option."""
    found = readers.find(data)
    *others, last = (found[0].options.get("normalize") if found else None) or [""]
    return f" (--data-arg normalize={', '.join(others)} or {last})" if others else ""


def about_weights(weights: str, model: Any) -> str | None:
    """Say where the weights come from if not from a checkpoint; None for those of one, or given from Python."""
    if weights == "random":
        return f"random weights: {model} was not given a checkpoint (--checkpoint)"
    if weights == "factory":
        return f"no --checkpoint: the weights are as {model} makes them"
    return None
