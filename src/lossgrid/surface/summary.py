"""The state of a surface: as JSON types, and as lines of text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lossgrid.surface import refinement
from lossgrid.surface.caveats import caveats_of
from lossgrid.surface.lattice import finest_whole, origin_of
from lossgrid.surface.origin import Origin
from lossgrid.surface.quantity import Quantity, from_json, in_order
from lossgrid.surface.sessions import seconds_of
from lossgrid.surface.surface import FAILED, NOT_FINITE, PENDING, Surface
from lossgrid.wording import duration, one_line, ordinal

SHOWN_NAMES = 4  # of the entries that move
MOST_RANKS = 16  # lines; of more ranks only those with most and least points are shown
Value = TypeVar("Value")


def summarise(surface: Surface, *, running: bool = False) -> dict[str, Any]:
    """Return the state of ``surface`` as JSON types: points by status, seconds, ranks, values.

    ``running`` tells whether a run is writing it.
    """
    seconds = surface.seconds[surface.computed & ~np.isnan(surface.seconds)]  # imported surfaces have none
    return {
        "file": str(surface.path),
        "complete": surface.complete,
        "created": surface.created,
        "finished": surface.finished,
        "shape": list(surface.shape),
        "points": int(surface.status.size),
        "done": surface.done,
        "pending": surface.pending,
        "not_finite": int(np.count_nonzero(surface.status == NOT_FINITE)),
        "failed": int(np.count_nonzero(surface.status == FAILED)),
        "seconds_per_point": float(np.median(seconds.astype(np.float64))) if seconds.size else None,
        "running": running,
        "ranks": _ranks(surface, running=running),
        "metrics": {name: _extremes(surface, name) for name in surface.quantities},
        "interpolated": surface.interpolated,
        "refinement": None if surface.refinement is None else surface.refinement.as_json(),
        "whole_stride": _whole_stride(surface),
        "quantities": [quantity.as_json() for quantity in surface.quantities.values()],
        "centre": _by_split(*centre_of(surface)),
        "rounding": surface.rounding,
        "notes": caveats_of(surface),
        "model": surface.origin.setting("model"),
        "writer": surface.origin.writer,
        "moved": _moved(surface.origin),
        "merged_from": len(surface.origin.merged or ()),
        "imported_from": None if surface.origin.imported is None else surface.origin.imported.tool,
    }


def _ranks(surface: Surface, *, running: bool) -> list[dict[str, Any]]:
    """Return what each rank did: points on all samples, ``sampled`` ones on fewer, and what it idled besides."""
    timed = ~np.isnan(surface.seconds) & (surface.computed | (surface.rank >= 0))
    numbers, own = np.unique(surface.rank[timed], return_inverse=True)
    whole, seconds = surface.computed[timed], surface.seconds[timed].astype(np.float64)
    found = []
    for number, rank in enumerate(numbers.tolist()):
        mine = own == number
        points = seconds[mine & whole]
        found.append(
            {
                "rank": rank,
                "points": len(points),
                "seconds_per_point": float(points.mean()) if len(points) else None,
                "sampled": int(np.count_nonzero(mine & ~whole)),
                "idle": _idle(surface, rank, float(seconds[mine].sum()), running=running),
            }
        )
    return found


def _moved(origin: Origin) -> dict[str, Any] | None:
    """Return which entries move; None where it is not told. ``chosen`` is whether the user chose them."""
    moved = origin.moved
    if moved is None:
        return None
    chosen = any(origin.settings.get(name) for name in ("move", "freeze", "trainable_only"))
    return {"entries": moved.entries, "numbers": moved.numbers, "names": list(moved.names or ()), "chosen": chosen}


def _whole_stride(surface: Surface) -> int | None:
    """Return the stride of the finest complete lattice; None if there is none."""
    return finest_whole((surface.status != PENDING).reshape(-1, len(surface.alpha)), origin_of(surface))


def _idle(surface: Surface, rank: int, busy: float, *, running: bool) -> float | None:
    """Return the idle fraction of the time of ``rank``; None if a run was killed."""
    had = seconds_of(surface.sessions, rank, now=time.time() if running else None)
    return max(0.0, 1.0 - busy / had) if had else None


def _extremes(surface: Surface, name: str) -> dict[str, float | None]:
    values = surface[name]
    finite = values[np.isfinite(values)]
    if not finite.size:
        return {"lowest": None, "highest": None, "centre": None, "centre_error": None}
    return {
        "lowest": float(finite.min()),
        "highest": float(finite.max()),
        "centre": _at_centre(surface, surface[name]),
        "centre_error": _at_centre(surface, surface.errors[name]) if name in surface.errors else None,
    }


def _at_centre(surface: Surface, values: npt.NDArray[Any]) -> float | None:
    """Return a value at (0, 0), that of the network itself; None where it is not on the grid or not known."""
    centre = surface.centre
    if centre is None:
        return None
    value = float(values.reshape(-1, len(surface.alpha))[centre])
    return value if np.isfinite(value) else None


def centre_of(surface: Surface) -> tuple[list[Quantity], list[float]]:
    """Return the quantities with a value at (0, 0), and these values."""
    values = [(quantity, _at_centre(surface, surface[name])) for name, quantity in surface.quantities.items()]
    known = [(quantity, value) for quantity, value in values if value is not None]
    return [quantity for quantity, _ in known], [value for _, value in known]


def _by_split(quantities: Sequence[Quantity], values: Sequence[Value]) -> dict[str, dict[str, Value]]:
    """Return values by split and kind; train before test, loss first."""
    by_name = {quantity.name: value for quantity, value in zip(quantities, values, strict=True)}
    ordered = in_order(quantities)
    splits = dict.fromkeys(quantity.split for quantity in ordered)
    return {
        split: {quantity.kind: by_name[quantity.name] for quantity in ordered if quantity.split == split}
        for split in splits
    }


def lines_of_centre(
    quantities: Sequence[Quantity], values: Sequence[float], errors: Sequence[float | None] | None = None
) -> list[str]:
    """Return the values at (0, 0), theta*, with their standard errors where known, a line of text for each split.

    >>> from lossgrid.surface.quantity import accuracy, loss
    >>> lines_of_centre([accuracy("train"), loss("train")], [0.894, 0.33017])
    ['at the centre: train loss 0.3302, accuracy 0.8940']
    >>> lines_of_centre([accuracy("train"), loss("train")], [0.894, 0.33017], [0.0049, 0.0131])
    ['at the centre: train loss 0.3302 ± 0.013, accuracy 0.8940 ± 0.0049']
    """
    texts = [
        value_in_words(quantity, value, error)
        for quantity, value, error in zip(quantities, values, errors or [None] * len(values), strict=True)
    ]
    return [
        f"at the centre: {split} " + ", ".join(f"{one_line(kind)} {text}" for kind, text in own.items())
        for split, own in _by_split(quantities, texts).items()
    ]


def value_in_words(quantity: Quantity, value: float, error: float | None = None) -> str:
    """Return a value as text, with its standard error if it is known and finite: ``0.3302 ± 0.013``."""
    text = f"{value:.4f}" if quantity.is_share else f"{value:#.4g}"
    return text if error is None or not np.isfinite(error) else f"{text} ± {error:.2g}"


def lines_of_ranks(ranks: list[dict[str, Any]]) -> list[str]:
    """Return a line per rank; of more than ``MOST_RANKS`` those with most and least points, which show trouble."""
    shown = ranks
    if len(ranks) > MOST_RANKS:
        by_points = sorted(ranks, key=lambda rank: rank["points"])
        shown = by_points[: MOST_RANKS // 2] + by_points[-MOST_RANKS // 2 :]
    lines = [
        f"rank {rank['rank']}: {rank['points']} points"
        + (f", {duration(rank['seconds_per_point'])} each" if rank["points"] else "")
        + (f", {rank['sampled']} on fewer samples" if rank["sampled"] else "")
        + ("" if rank["idle"] is None else f", idle {rank['idle']:.1%}")
        for rank in shown
    ]
    left_out = len(ranks) - len(shown)
    return lines + ([f"and {left_out} more ranks, with points between these"] if left_out else [])


def _state(summary: dict[str, Any]) -> str:
    """Return the state of a surface as text, and its sources if it was merged or imported."""
    if summary["running"]:
        return "being computed"
    state = "complete" if summary["complete"] else "incomplete"
    if summary["merged_from"]:
        return f"{state}, merged from {summary['merged_from']} files"
    if summary["imported_from"]:
        return f"{state}, imported from a file of {summary['imported_from']}"
    return state if summary["complete"] else f"{state}: the same command resumes it"


def _difference(value: float | None) -> str:
    """Return a difference from float32 as text."""
    return "not finite in one of them" if value is None else f"{value:.1e}"


def as_lines(summary: dict[str, Any]) -> list[str]:
    """Return a summary as lines of text."""
    of_what = "" if summary["imported_from"] else f" of {summary['model']}"
    lines = [
        f"{summary['file']}: {' x '.join(map(str, summary['shape']))} points{of_what}, {_state(summary)}",
        f"done {summary['done']} of {summary['points']}, not finite {summary['not_finite']}, "
        + (f"interpolated {summary['interpolated']}, " if summary["interpolated"] else "")
        + f"failed {summary['failed']}, writer {summary['writer']}",
    ]
    moved = summary["moved"]
    if moved is not None and moved["chosen"]:
        first = ", ".join(map(one_line, moved["names"][:SHOWN_NAMES]))
        more = (moved["entries"] or 0) - SHOWN_NAMES
        rest = f" and {more} more" if more > 0 else ""
        lines.append(f"{moved['entries']} entries with {moved['numbers']} numbers move: {first}{rest}")
    if summary["refinement"] is not None and (summary["interpolated"] or not summary["pending"]):
        lines.append(refinement.from_json(summary["refinement"]).in_words(summary["interpolated"], summary["points"]))
    stride = summary["whole_stride"]
    if stride is not None and stride > 1:
        along = " along both axes" if len(summary["shape"]) == 2 else ""
        lines.append(f"every {ordinal(stride)} point{along} is there: a whole picture, if a coarser one")
    if summary["seconds_per_point"] is not None:
        lines.append(f"{duration(summary['seconds_per_point'])} a point (median)")
        lines += lines_of_ranks(summary["ranks"])
    if summary["rounding"] is not None:
        worst = ", ".join(f"{name} {_difference(value)}" for name, value in summary["rounding"]["largest"].items())
        points = len(summary["rounding"]["points"])
        lines.append(f"{summary['rounding']['precision']} differs from float32 at {points} points by at most: {worst}")
    quantities = [from_json(entry) for entry in summary["quantities"]]
    known = [quantity for quantity in quantities if summary["metrics"][quantity.name]["centre"] is not None]
    centre, errors = (
        [summary["metrics"][quantity.name][key] for quantity in known] for key in ("centre", "centre_error")
    )
    lines += lines_of_centre(known, centre, errors)
    for name, values in summary["metrics"].items():
        if values["lowest"] is not None:
            there = "" if values["centre"] is None else f", at the centre {values['centre']:.6g}"
            lines.append(f"{name}: {values['lowest']:.6g} to {values['highest']:.6g}{there}")
    return lines + [f"note: {note}" for note in summary["notes"]]
