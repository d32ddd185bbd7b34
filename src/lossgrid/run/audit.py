"""Checks that recompute stored points: all values of a surface must be those of one function, the user's network.

Before a run resumes a file or reports it complete, each rank recomputes one of its points. The check finds an edited
forward pass, another loss of the same name, or another library. When a surface becomes complete, some points are
recomputed by the plain network, without folding, fusing or compiling.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lossgrid import store
from lossgrid.errors import InputError, RankError, agreed
from lossgrid.evaluation import AMPLIFIED, Evaluator
from lossgrid.origin.merge import AGREE_ACCURACY, SMALL_LOSS
from lossgrid.parallel import World, collective, gather, on_root
from lossgrid.precision import PRECISIONS
from lossgrid.settings import RunConfig
from lossgrid.surface import DONE, Origin, Quantity, Surface

log = logging.getLogger(__name__)

MOST_POINTS = 4  # points of a complete surface that each rank recomputes at most
FRACTION_OF_RUN = 0.01  # fraction of the run's computing time that the audit may cost
LEAST_SECONDS = 1.0  # s that the audit may cost in any run

Values = npt.NDArray[np.float64]
Index = tuple[int, int]


@dataclass(frozen=True)
class Difference:
    """A stored value that differs from the recomputed one, ``found``, by more than allowed."""

    alpha: float
    beta: float
    name: str
    stored: float
    found: float

    def __str__(self) -> str:
        where = f"at ({self.alpha:g}, {self.beta:g})"
        return f"{where} {self.name} is {self.stored:.9g} in the file and {self.found:.9g} computed now"


@collective
def refuse_other_function(old: Surface, config: RunConfig, evaluator: Evaluator, origin: Origin, world: World) -> None:
    """Refuse to resume a file whose stored points have other values now.

    Each rank recomputes one point: root the centre if it is stored, each other rank another point, chosen by the seed.

    Args:
        old: The surface of the file.
        config: The settings.
        evaluator: The network and the data, with the recipe of the file.
        origin: The origin of this run.
        world: The ranks.

    Raises:
        InputError: A value differs beyond the last bits, or this run measures other quantities.
    """
    quantities = evaluator.quantities
    names = {quantity.name for quantity in quantities}
    if names != set(old.quantities):
        there, now = (", ".join(sorted(measured)) for measured in (old.quantities, names))
        raise agreed(
            InputError(
                f"--out: {config.out} holds {there}, this run measures {now}; choose another file, or --overwrite to "
                "replace it"
            )
        )
    promised = _same_conditions(old.origin, origin)
    precision = PRECISIONS[config.precision]
    relative = precision.same_conditions if promised else precision.other_conditions
    absolute = 0.0 if promised else AGREE_ACCURACY
    points = _shuffled_points(old, config, config.seed, centre_first=True)
    difference = None
    if world.rank < len(points):
        index = points[world.rank]
        found = evaluator.point(*config.grid.at(*index)).values
        difference = _difference_from_stored(old, config, index, quantities, found, relative, absolute)
        if difference is not None and not promised and _is_round_off(difference, evaluator, config.precision):
            difference = None
    first = next(filter(None, gather(world, difference)), None)
    if first is not None:
        raise agreed(
            InputError(
                f"--out: {config.out} holds values of another function: {first}{_what_changed(old.origin, origin)}; "
                "choose another file, or --overwrite to replace it"
            )
        )


def _same_conditions(theirs: Origin, ours: Origin) -> bool:
    """Return whether equal bits are promised: the recipe, libraries, processors and threads are equal."""
    if theirs.merged is not None:  # its runs may have had different conditions
        return False
    there, now = (
        (replace(one.recipe, about=None), one.versions, one.processors, one.threads, one.arithmetic)
        for one in (theirs, ours)
    )
    return there == now


def _what_changed(theirs: Origin, ours: Origin) -> str:
    """Return in words which sources and libraries differ from those of the file; empty if none does."""
    there, now = theirs.sources or {}, ours.sources or {}
    changed = [f"the source of the {role}" for role in now if there.get(role) != now[role]]
    before, after = theirs.versions or {}, ours.versions or {}
    changed += [
        f"{name} ({before[name]} there, {after[name]} now)"
        for name in after
        if name in before and before[name] != after[name]
    ]
    return f" ({', '.join(changed)} changed since)" if changed else ""


@collective
def audit(config: RunConfig, evaluator: Evaluator, world: World) -> None:
    """Recompute points of a surface that has just become complete, by the plain network.

    Each rank recomputes up to ``MOST_POINTS`` points chosen by the seed, within ``FRACTION_OF_RUN`` of the computing
    time. If that is less than one point, it compares the plain network and the recipe's on some batches. A stop signal
    does not end the audit: all points are stored, and it is short.

    Raises:
        RankError: A value differs by more than round-off. A note is written to the file, which stays incomplete.
    """
    surface = on_root(world, lambda: store.read(config.out))
    quantities = evaluator.quantities
    spent = float(np.nansum(surface.seconds)) / world.size
    cost = 2.0 * float(np.nanmedian(surface.seconds[surface.computed]))  # s for a point of the plain network, estimated
    affordable = max(LEAST_SECONDS, FRACTION_OF_RUN * spent) / max(cost, 1e-9)  # points
    count = max(1, min(MOST_POINTS, int(affordable)))
    points = _shuffled_points(surface, config, config.seed + 1)[world.rank :: world.size][:count]
    is_plain = evaluator.network.variant == "plain"
    precision = PRECISIONS[config.precision]
    relative = precision.same_conditions if is_plain else precision.other_conditions
    difference = None
    for index in points:
        alpha, beta = config.grid.at(*index)
        if affordable >= 1.0:
            found = evaluator.plain_point(alpha, beta)
            difference = _difference_from_stored(surface, config, index, quantities, found, relative, AGREE_ACCURACY)
        elif config.precision in ("float32", "float64"):
            run, plain = evaluator.glance(alpha, beta, max(1, int(affordable * evaluator.most_batches)))
            difference = _first_difference((alpha, beta), quantities, run, plain, relative, AGREE_ACCURACY)
        if difference is not None and not _is_round_off(difference, evaluator, config.precision):
            break
        difference = None
    first = next(filter(None, gather(world, difference)), None)
    if first is not None:
        _refuse_wrong_surface(config, evaluator, first, world)


def _refuse_wrong_surface(config: RunConfig, evaluator: Evaluator, first: Difference, world: World) -> None:
    variant = evaluator.network.variant
    advice = (
        "the network changes while it is run, or somebody changed the file: compute it again with --overwrite"
        if variant == "plain"
        else f"variant {variant} is another function than it: compute it again with --variant plain --overwrite"
    )

    def note_and_refuse() -> None:
        store.note_difference(config.out, f"wrong values: {first}")
        raise RankError(f"{config.out} is wrong: {first} by the network itself; {advice}")

    on_root(world, note_and_refuse)


def _shuffled_points(surface: Surface, config: RunConfig, seed: int, *, centre_first: bool = False) -> list[Index]:
    """Return row and column of the finished points of a surface, shuffled by ``seed``."""
    rows, columns = np.nonzero((surface.status == DONE).reshape(config.grid.rows))
    order = np.random.default_rng(seed).permutation(len(rows))
    points = [(int(rows[i]), int(columns[i])) for i in order]
    centre = config.grid.centre
    if centre_first and centre in points:
        points.remove(centre)
        points.insert(0, centre)
    return points


def _difference_from_stored(
    surface: Surface,
    config: RunConfig,
    index: Index,
    quantities: Sequence[Quantity],
    found: Values,
    relative: float,
    absolute: float,
) -> Difference | None:
    stored = np.array([surface[quantity.name].reshape(config.grid.rows)[index] for quantity in quantities])
    return _first_difference(config.grid.at(*index), quantities, stored, found, relative, absolute)


def _first_difference(
    point: tuple[float, float],
    quantities: Sequence[Quantity],
    stored: Values,
    found: Values,
    relative: float,
    absolute: float,
) -> Difference | None:
    """Return the first stored value that differs from the found one by more than allowed; None if there is none.

    The limit is ``relative`` for quantities that vary by factors, such as losses, and ``absolute`` for all others.
    """
    for quantity, there, now in zip(quantities, stored.tolist(), found.tolist(), strict=True):
        if there == now or (math.isnan(there) and math.isnan(now)):
            continue
        by_factors = quantity.varies == "by factors"
        limit = relative * max(abs(there), abs(now), SMALL_LOSS) if by_factors else absolute
        if not abs(there - now) <= limit:
            return Difference(*point, quantity.name, there, now)
    return None


def _is_round_off(difference: Difference, evaluator: Evaluator, precision: str) -> bool:
    """Return whether round-off of the weights alone changes the value by as much as the difference."""
    column = [quantity.name for quantity in evaluator.quantities].index(difference.name)
    point = (difference.alpha, difference.beta)
    values = [evaluator.plain_point(*point, shaken=shaken)[column] for shaken in (0.0, PRECISIONS[precision].roundings)]
    distance = abs(difference.stored - difference.found)
    return bool(distance <= AMPLIFIED * abs(values[0] - values[1]))
