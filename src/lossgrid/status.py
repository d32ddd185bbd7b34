"""What there is to say about how far a surface is."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossgrid.progress import duration
from lossgrid.store.surface import DONE, FAILED, NOT_FINITE, PENDING, Surface


def summarise(surface: Surface) -> dict[str, Any]:
    """Return the state of ``surface`` as JSON types: points by status, their cost, who computed them, their values."""
    computed = np.isin(surface.status, (DONE, NOT_FINITE))
    seconds = surface.seconds[computed].astype(np.float64)
    numbers, points = np.unique(surface.rank[computed], return_counts=True)
    return {
        "file": str(surface.path),
        "complete": surface.complete,
        "created": surface.created,
        "finished": surface.finished,
        "shape": list(surface.shape),
        "points": int(surface.status.size),
        "done": int(np.count_nonzero(computed)),
        "pending": int(np.count_nonzero(surface.status == PENDING)),
        "not_finite": int(np.count_nonzero(surface.status == NOT_FINITE)),
        "failed": int(np.count_nonzero(surface.status == FAILED)),
        "seconds_per_point": float(np.median(seconds)) if seconds.size else None,
        "points_of_rank": {str(rank): int(count) for rank, count in zip(numbers, points, strict=True)},
        "metrics": {name: _extremes(surface, name) for name in surface.metrics},
        "rounding": surface.rounding,
        "model": surface.config.get("model"),
        "writer": surface.provenance.get("writer"),
    }


def _extremes(surface: Surface, name: str) -> dict[str, float | None]:
    values = surface[name]
    finite = values[np.isfinite(values)]
    if not finite.size:
        return {"lowest": None, "highest": None, "centre": None}
    centre = None
    if 0.0 in surface.alpha and (surface.beta is None or 0.0 in surface.beta):
        column = int(np.flatnonzero(surface.alpha == 0.0)[0])
        value = values[column] if surface.beta is None else values[np.flatnonzero(surface.beta == 0.0)[0], column]
        centre = float(value) if np.isfinite(value) else None
    return {"lowest": float(finite.min()), "highest": float(finite.max()), "centre": centre}


def as_lines(summary: dict[str, Any]) -> list[str]:
    """Write a summary for people."""
    state = "complete" if summary["complete"] else "incomplete: the same command resumes it"
    lines = [
        f"{summary['file']}: {' x '.join(map(str, summary['shape']))} points of {summary['model']}, {state}",
        f"done {summary['done']} of {summary['points']}, not finite {summary['not_finite']}, "
        f"failed {summary['failed']}, writer {summary['writer']}",
    ]
    if summary["seconds_per_point"] is not None:
        by_rank = summary["points_of_rank"].items()
        ranks = ", ".join(f"rank {rank}: {count}" for rank, count in list(by_rank)[:16])
        more = f", and {len(by_rank) - 16} more ranks" if len(by_rank) > 16 else ""
        lines.append(f"{duration(summary['seconds_per_point'])} a point (median); points by {ranks}{more}")
    if summary["rounding"] is not None:
        worst = ", ".join(f"{name} {value:.1e}" for name, value in summary["rounding"]["largest"].items())
        points = len(summary["rounding"]["points"])
        lines.append(f"{summary['rounding']['precision']} differs from float32 at {points} points by at most: {worst}")
    for name, values in summary["metrics"].items():
        if values["lowest"] is not None:
            centre = "" if values["centre"] is None else f", at the centre {values['centre']:.6g}"
            lines.append(f"{name}: {values['lowest']:.6g} to {values['highest']:.6g}{centre}")
    return lines
