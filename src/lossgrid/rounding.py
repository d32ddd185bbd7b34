"""What a lower precision costs: some points once more in float32, compared with those of the surface."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lossgrid import store
from lossgrid.config import RunConfig
from lossgrid.evaluation import Evaluator
from lossgrid.grid import Grid
from lossgrid.parallel import World, gather, on_root

log = logging.getLogger(__name__)
LOWER = ("tf32", "bfloat16")
CHOSEN = 4  # points besides centre and corners


def measure_rounding(
    config: RunConfig, evaluator: Evaluator, world: World, seconds_left: Callable[[], float]
) -> tuple[bool, dict[str, Any] | None]:
    """Tell how far a finished surface in a lower precision is from float32.

    Collective: all ranks of ``world`` must call this.

    Returns:
        Whether it was found out before the time was up, and what was found; nothing where the precision is not lower.
    """
    if config.precision not in LOWER:
        return True, None
    exact = recompute(evaluator, config.grid, world, seed=config.seed, seconds_left=seconds_left)
    if exact is None:
        return False, None
    names = [column.name for column in evaluator.columns]
    found = on_root(world, lambda: compare(store.read(config.out), exact, names, config.precision))
    worst = ", ".join(f"{name} {value:.1e}" for name, value in found["largest"].items())
    log.info("%s differs from float32 at %d points by at most: %s", config.precision, len(exact), worst)
    return True, found


def sample_points(grid: Grid, seed: int) -> list[tuple[int, int]]:
    """Return rows and columns of the centre, the corners and a few points chosen by ``seed``, without repetition."""
    rows, columns = grid.rows
    corners = {(row, column) for row in (0, rows - 1) for column in (0, columns - 1)}
    generator = np.random.default_rng(seed)
    chosen = {(int(generator.integers(rows)), int(generator.integers(columns))) for _ in range(CHOSEN)}
    return sorted({(rows // 2, columns // 2)} | corners | chosen)


def recompute(
    evaluator: Evaluator, grid: Grid, world: World, *, seed: int, seconds_left: Callable[[], float]
) -> dict[tuple[int, int], list[float]] | None:
    """Compute the sample points in float32, shared among the ranks; return their metrics by row and column.

    Collective: all ranks of ``world`` must call this. None where a rank ran out of time.
    """
    alphas = grid.alpha.values()
    betas = np.zeros(1) if grid.beta is None else grid.beta.values()
    points = sample_points(grid, seed)
    own = {}
    for row, column in points[world.rank :: world.size]:
        if seconds_left() <= 0:
            break
        own[row, column] = evaluator.point_in_float32(float(alphas[column]), float(betas[row])).tolist()
    found = {place: values for part in gather(world, own) for place, values in part.items()}
    return found if len(found) == len(points) else None


def compare(
    surface: store.Surface, exact: Mapping[tuple[int, int], list[float]], names: list[str], precision: str
) -> dict[str, Any]:
    """Return the largest differences of the surface from float32, as JSON types.

    Losses are compared relative to the value in float32, accuracies as they are; what is not finite in both is equal.
    """
    worst = {}
    for number, name in enumerate(names):
        values = surface[name].reshape(-1, len(surface.alpha))
        pairs = [(values[place], row[number]) for place, row in exact.items()]
        differences = [
            abs(found - expected) / (abs(expected) if name.endswith("_loss") else 1.0)
            for found, expected in pairs
            if found != expected and not (np.isnan(found) and np.isnan(expected))
        ]
        worst[name] = float(max(differences, default=0.0))
    return {"precision": precision, "against": "float32", "points": [list(place) for place in exact], "largest": worst}
