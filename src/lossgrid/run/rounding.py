"""What a lower precision costs: some points in float32 too, before the work and once more when it is done."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lossgrid import store
from lossgrid.errors import InputError, agreed
from lossgrid.evaluation import Evaluator
from lossgrid.parallel import World, collective, gather, on_root
from lossgrid.settings import RunConfig
from lossgrid.surface import Grid, Quantity, Surface

log = logging.getLogger(__name__)
LOWER = ("tf32", "bfloat16")
CHOSEN = 4  # points besides centre and corners
GLANCED = 2  # batches of each split, before the work

Index = tuple[int, int]


@collective
def refuse_rounding(config: RunConfig, evaluator: Evaluator, world: World) -> None:
    """Refuse a lower precision that is further from float32 than ``--max-rounding``, on the first batches.

    They share the centre, the corners and some points chosen by the
    seed.

    Raises:
        InputError: It is; the text gives the numbers and says what to use.
    """
    if config.precision not in LOWER:
        return
    quantities = evaluator.quantities
    own = []
    for index in sample_points(config.grid, config.seed)[world.rank :: world.size]:
        alpha, beta = config.grid.at(*index)
        found, exact = evaluator.glance(alpha, beta, GLANCED)
        own += [
            (difference(quantity, low, high), alpha, beta, quantity.name, low, high)
            for quantity, low, high in zip(quantities, found.tolist(), exact.tolist(), strict=True)
        ]
    # Of values that are equally wrong the one nearest to the centre says most.
    every = (entry for part in gather(world, own) for entry in part)
    apart, alpha, beta, name, low, high = max(every, key=lambda entry: (entry[0], -abs(entry[1]) - abs(entry[2])))
    log.info("%s differs from float32 by at most %.1e on %d batches, in %s", config.precision, apart, GLANCED, name)
    if apart > config.max_rounding:
        raise agreed(
            InputError(
                f"--precision {config.precision}: {name.replace('_', ' ')} at ({alpha:g}, {beta:g}) is {low:.6g} and "
                f"{high:.6g} in float32, {apart:.2g} apart, more than --max-rounding {config.max_rounding:g}; use "
                "--precision float32, or allow it by a larger --max-rounding"
            )
        )


def difference(quantity: Quantity, found: float, exact: float) -> float:
    """Return how far a value is from that in float32: as a share of it where it varies by factors, else as it is.

    What is not finite in both alike is equal.
    """
    if found == exact or (math.isnan(found) and math.isnan(exact)):
        return 0.0
    apart = abs(found - exact) / (abs(exact) if quantity.varies == "by factors" and exact else 1.0)
    return apart if math.isfinite(apart) else math.inf


@collective
def measure_rounding(
    config: RunConfig, evaluator: Evaluator, world: World, seconds_left: Callable[[], float]
) -> tuple[bool, dict[str, Any] | None]:
    """Tell how far a finished surface in a lower precision is from float32.

    Returns:
        Whether it was found out before the time was up, and what was found; nothing where the precision is not lower.
    """
    if config.precision not in LOWER:
        return True, None
    exact = recompute(evaluator, config.grid, world, seed=config.seed, seconds_left=seconds_left)
    if exact is None:
        return False, None
    quantities, limit = evaluator.quantities, config.max_rounding
    found = on_root(world, lambda: compare(store.read(config.out), exact, quantities, config.precision, limit))
    worst = ", ".join(f"{name} {in_words(value)}" for name, value in found["largest"].items())
    log.info("%s differs from float32 at %d points by at most: %s", config.precision, len(exact), worst)
    if found["beyond"]:
        log.warning("this is more than --max-rounding %g allows; status and pictures say so", config.max_rounding)
    return True, found


def sample_points(grid: Grid, seed: int) -> list[Index]:
    """Return rows and columns of the centre, the corners and a few points chosen by ``seed``, without repetition."""
    rows, columns = grid.rows
    corners = {(row, column) for row in (0, rows - 1) for column in (0, columns - 1)}
    generator = np.random.default_rng(seed)
    chosen = {(int(generator.integers(rows)), int(generator.integers(columns))) for _ in range(CHOSEN)}
    return sorted({(rows // 2, columns // 2)} | corners | chosen)


@collective
def recompute(
    evaluator: Evaluator, grid: Grid, world: World, *, seed: int, seconds_left: Callable[[], float]
) -> dict[Index, list[float]] | None:
    """Compute the sample points in float32, shared among the ranks; return their values by row and column.

    None where a rank ran out of time.
    """
    points = sample_points(grid, seed)
    own = {}
    for index in points[world.rank :: world.size]:
        if seconds_left() <= 0:
            break
        own[index] = evaluator.point_in_float32(*grid.at(*index)).tolist()
    found = {index: values for part in gather(world, own) for index, values in part.items()}
    return found if len(found) == len(points) else None


def compare(
    surface: Surface,
    exact: Mapping[Index, list[float]],
    quantities: Sequence[Quantity],
    precision: str,
    limit: float = math.inf,
) -> dict[str, Any]:
    """Return the largest differences of the surface from float32, as JSON types.

    ``limit`` is what was allowed. A difference is None where only one of the two values is finite.
    """
    worst = {}
    for number, quantity in enumerate(quantities):
        values = surface[quantity.name].reshape(-1, len(surface.alpha))
        worst[quantity.name] = max(difference(quantity, float(values[i]), row[number]) for i, row in exact.items())
    return {
        "precision": precision,
        "against": "float32",
        "points": [list(index) for index in exact],
        "largest": {name: value if math.isfinite(value) else None for name, value in worst.items()},
        "limit": limit if math.isfinite(limit) else None,
        "beyond": any(value > limit for value in worst.values()),
    }


def in_words(value: float | None) -> str:
    """Write a difference as it is stored."""
    return "not finite in one of them" if value is None else f"{value:.1e}"
