"""The legend of a picture of lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.patches import Patch

from lossgrid.plot.trace import Trace
from lossgrid.surface import Quantity
from lossgrid.wording import one_line

LABEL = 48  # characters of a label
MOST_NAMED = 14  # entries of a legend within the axes
BAND = 0.2  # opacity


def entry(label: str, quantity: Quantity, *, several: bool, alone: bool) -> str:
    """Return the label of a line: its surface if there are several, its split if there is more than one."""
    split = quantity.split or quantity.name
    if not several:
        return split
    return label if alone else f"{one_line(label, LABEL - len(split) - 2)}, {split}"


def named(handles: list[Any], texts: list[str]) -> tuple[list[Any], list[str]]:
    """Return the first ``MOST_NAMED`` entries of a legend, and an entry that counts the others."""
    left_out = len(handles) - MOST_NAMED
    if left_out <= 0:
        return handles, texts
    return [*handles[:MOST_NAMED], Patch(alpha=0)], [*texts[:MOST_NAMED], f"and {left_out} more"]


def with_band(handles: list[Any], texts: list[str], traces: Sequence[Trace]) -> tuple[list[Any], list[str]]:
    """Return the entries of a legend, with one that explains the bands if there are any."""
    if not any(trace.has_band for trace in traces):
        return handles, texts
    counts = {len(trace.surfaces) for trace in traces}
    of = f" of {counts.pop()}" if len(counts) == 1 else ""
    text = _of_bars(traces) if of == " of 1" else f"range{of}, line: mean"
    return [*handles, Patch(facecolor="0.3", alpha=BAND)], [*texts, text]


def _of_bars(traces: Sequence[Trace]) -> str:
    """Return what error bars are, which an audit makes so wide that a share of the values lies within them."""
    told = [trace.surfaces[0].refinement for trace in traces if trace.has_band]
    shares = {one.confidence for one in told if one is not None and one.most_wrong}
    return f"error bars, {100 * shares.pop():.3g} %" if len(shares) == 1 else "expected errors"
