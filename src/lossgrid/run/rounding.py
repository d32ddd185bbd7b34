"""The round-off of a lower precision: some points are also computed in float32, before the work and after it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid import store
from lossgrid.errors import InputError, agreed
from lossgrid.evaluation import Evaluator
from lossgrid.parallel import World, collective, gather, on_root
from lossgrid.precision import PRECISIONS
from lossgrid.sampling.budget import ROUNDING
from lossgrid.sampling.ruler import Ruler, Tolerance
from lossgrid.sampling.sweep import steering
from lossgrid.settings import RunConfig
from lossgrid.surface import Grid, Quantity, Surface

log = logging.getLogger(__name__)
RANDOM_POINTS = 4  # compared points besides centre and corners
FIRST_BATCHES = 2  # batches of each split that are compared before the work

Index = tuple[int, int]


@collective
def refuse_rounding(config: RunConfig, evaluator: Evaluator, world: World) -> None:
    """Refuse a lower precision that differs from float32 by more than ``--max-rounding`` on the first batches.

    The ranks share the centre, the corners and some points chosen by the seed.

    Raises:
        InputError: The difference is too large; the text gives the numbers and a remedy.
    """
    if not PRECISIONS[config.precision].is_lower:
        return
    # Of equal differences, report that of the point nearest to the centre.
    every = [
        (difference(quantity, low, high), *config.grid.at(*index), quantity.name, low, high)
        for index, (found, exact) in glances(config, evaluator, world).items()
        for quantity, low, high in zip(evaluator.quantities, found, exact, strict=True)
    ]
    apart, alpha, beta, name, low, high = max(every, key=lambda entry: (entry[0], -abs(entry[1]) - abs(entry[2])))
    log.info(
        "%s differs from float32 by at most %.1e on %d batches, in %s", config.precision, apart, FIRST_BATCHES, name
    )
    if apart > config.max_rounding:
        raise agreed(
            InputError(
                f"--precision {config.precision}: {name.replace('_', ' ')} at ({alpha:g}, {beta:g}) is {low:.6g} and "
                f"{high:.6g} in float32, {apart:.2g} apart, more than --max-rounding {config.max_rounding:g}; use "
                "--precision float32, or allow it by a larger --max-rounding"
            )
        )


@collective
def glances(config: RunConfig, evaluator: Evaluator, world: World) -> dict[Index, tuple[list[float], list[float]]]:
    """Return the values of the sample points on the first batches, as run and in float32; the ranks share the points.

    They are sorted by row and column, so that all ranks, however many, decide by the same numbers.
    """
    own = {}
    for index in sample_points(config.grid, config.seed)[world.rank :: world.size]:
        found, exact = evaluator.glance(*config.grid.at(*index), FIRST_BATCHES)
        own[index] = found.tolist(), exact.tolist()
    return dict(sorted(entry for part in gather(world, own) for entry in part.items()))


def in_tolerances(
    config: RunConfig, quantities: Sequence[Quantity], found: npt.NDArray[np.float64], exact: npt.NDArray[np.float64]
) -> dict[str, float]:
    """Return the largest difference of each quantity that steers the refinement, in tolerances of the run.

    The range of the colours is that of the compared points, which is no larger than that of the surface.

    Args:
        config: The settings, with a tolerance.
        quantities: The quantities.
        found: Values as run, shape ``(n_quantities, n)``.
        exact: Values in float32, of the same shape.
    """
    assert config.tolerance
    tolerance = Tolerance(config.tolerance, config.tolerance_of)
    return {
        quantity.name: float(Ruler.of(quantity, high, tolerance).distance(low, high).max())
        for quantity, steers, low, high in zip(quantities, steering(quantities), found, exact, strict=True)
        if steers
    }


def difference(quantity: Quantity, found: float, exact: float) -> float:
    """Return the difference of a value from that in float32: relative if the quantity varies by factors, else absolute.

    Values that are NaN, or the same infinity, in both are equal. If only one is finite, the difference is infinite.
    """
    if found == exact or (math.isnan(found) and math.isnan(exact)):
        return 0.0
    apart = abs(found - exact) / (abs(exact) if quantity.varies == "by factors" and exact else 1.0)
    return apart if math.isfinite(apart) else math.inf


@collective
def measure_rounding(
    config: RunConfig, evaluator: Evaluator, world: World, seconds_left: Callable[[], float]
) -> tuple[bool, dict[str, Any] | None]:
    """Return the differences of a finished surface in a lower precision from float32.

    Returns:
        False if the time limit or a stop signal came first, else True; and the differences, or None: the precision is
        not lower, or the time was up.
    """
    if not PRECISIONS[config.precision].is_lower:
        return True, None
    exact = recompute_in_float32(evaluator, config.grid, world, seed=config.seed, seconds_left=seconds_left)
    if exact is None:
        return False, None
    quantities, limit = evaluator.quantities, config.max_rounding

    def compare() -> dict[str, Any]:
        surface = store.read(config.out)
        # Interpolated points have other errors too: theirs are those of the audit.
        computed = surface.computed.reshape(config.grid.rows)
        there = {index: values for index, values in exact.items() if computed[index]}
        told = differences_from_float32(surface, there, quantities, config.precision, limit)
        if config.is_refined and there:
            rows = [surface[quantity.name].reshape(config.grid.rows) for quantity in quantities]
            low = np.array([[values[index] for index in there] for values in rows])
            spent = in_tolerances(config, quantities, low, np.array(list(there.values())).T)
            told["spent"] = {name: value if math.isfinite(value) else None for name, value in spent.items()}
            told["share"] = ROUNDING
        return told

    found = on_root(world, compare)
    worst = ", ".join(f"{name} {_text_of(value)}" for name, value in found["largest"].items())
    log.info("%s differs from float32 at %d points by at most: %s", config.precision, len(found["points"]), worst)
    if found["beyond"]:
        log.warning("this is more than --max-rounding %g allows; status and pictures say so", config.max_rounding)
    return True, found


def sample_points(grid: Grid, seed: int) -> list[Index]:
    """Return row and column of the centre, the corners and a few points chosen by ``seed``, sorted, each once."""
    rows, columns = grid.rows
    corners = {(row, column) for row in (0, rows - 1) for column in (0, columns - 1)}
    generator = np.random.default_rng(seed)
    chosen = {(int(generator.integers(rows)), int(generator.integers(columns))) for _ in range(RANDOM_POINTS)}
    return sorted({(rows // 2, columns // 2)} | corners | chosen)


@collective
def recompute_in_float32(
    evaluator: Evaluator, grid: Grid, world: World, *, seed: int, seconds_left: Callable[[], float]
) -> dict[Index, list[float]] | None:
    """Return the values of the sample points in float32, by row and column; the ranks share the points.

    None if a rank runs out of time.
    """
    points = sample_points(grid, seed)
    own = {}
    for index in points[world.rank :: world.size]:
        if seconds_left() <= 0:
            break
        own[index] = evaluator.point_in_float32(*grid.at(*index)).tolist()
    found = dict(sorted(entry for part in gather(world, own) for entry in part.items()))  # as by one rank
    return found if len(found) == len(points) else None


def differences_from_float32(
    surface: Surface,
    exact: Mapping[Index, list[float]],
    quantities: Sequence[Quantity],
    precision: str,
    limit: float = math.inf,
) -> dict[str, Any]:
    """Return the largest difference of each quantity from float32, and the points compared, as JSON types.

    ``limit`` is the allowed difference. A difference is None where only one of the two values is finite.
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


def _text_of(value: float | None) -> str:
    return "not finite in one of them" if value is None else f"{value:.1e}"
