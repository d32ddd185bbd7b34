"""Warnings about the centre (0, 0), the trained network itself: its values show whether the input was right."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lossgrid import data
from lossgrid.surface import Axis, Grid, Quantity

log = logging.getLogger(__name__)

DEVIATIONS = 3.0  # standard deviations above the accuracy of guessing, up to which an accuracy counts as guessing


def warn_of_missing_centre(grid: Grid) -> None:
    """Warn if a grid has no point (0, 0), and name a range that has it."""
    if grid.centre is not None:
        return
    for name, axis in (("alpha", grid.alpha), ("beta", grid.beta)):
        if axis is not None and 0.0 not in axis.values():
            log.warning(
                "0 is no point of --%s %s, so the trained network itself is not on the surface%s",
                name,
                axis,
                _range_with_zero(axis),
            )


def _range_with_zero(axis: Axis) -> str:
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
    named: str,
) -> None:
    """Warn where the accuracy of a trained network is no better than that of guessing.

    Args:
        quantities: The measured quantities.
        values: Their values at the centre.
        samples: Number of samples of each split.
        classes: Number of classes of each split; None where it is not known.
        named: The data as ``--data`` names them.
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
                split, value, count, _normalisations(named),
            )  # fmt: skip


def _normalisations(name: str) -> str:
    """Return the hint at the normalisations of the data; empty if the data have no such option."""
    found = data.find(name)
    *others, last = (found[0].options.get("normalize") if found else None) or [""]
    return f" (--data-arg normalize={', '.join(others)} or {last})" if others else ""


def warning_about_weights(weights: str, model: Any) -> str | None:
    """Return a warning if neither a checkpoint nor a caller in Python gave the weights; else None."""
    if weights == "random":
        return f"random weights: {model} was not given a checkpoint (--checkpoint)"
    if weights == "factory":
        return f"no --checkpoint: the weights are as {model} makes them"
    return None
