"""The legend of a picture of lines: what each line and each band is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.patches import Patch

from lossgrid.plot.trace import Trace
from lossgrid.surface import Quantity
from lossgrid.wording import one_line

LABEL = 48  # characters in a legend
MOST_NAMED = 14  # lines in a legend within the axes
BAND = 0.2  # opacity


def entry(label: str, quantity: Quantity, *, several: bool, alone: bool) -> str:
    """Name a line by its surface where there are several, and by its split where there is more than one."""
    split = quantity.split or quantity.name
    if not several:
        return split
    return label if alone else f"{one_line(label, LABEL - len(split) - 2)}, {split}"


def named(handles: list[Any], texts: list[str]) -> tuple[list[Any], list[str]]:
    """Return the entries of a legend that have room in the axes."""
    left_out = len(handles) - MOST_NAMED
    if left_out <= 0:
        return handles, texts
    return [*handles[:MOST_NAMED], Patch(alpha=0)], [*texts[:MOST_NAMED], f"and {left_out} more"]


def with_band(handles: list[Any], texts: list[str], traces: Sequence[Trace]) -> tuple[list[Any], list[str]]:
    """Add what a band is to the entries of a legend, where there is one."""
    counts = {len(trace.surfaces) for trace in traces}
    if counts == {1}:
        return handles, texts
    of = f" of {counts.pop()}" if len(counts) == 1 else ""
    return [*handles, Patch(facecolor="0.3", alpha=BAND)], [*texts, f"range{of}, line: mean"]
