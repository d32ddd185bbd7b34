"""Values computed again: a surface holds the values of one function, and that function is the user's network.

Before a run goes on with a file, or answers that it is complete, each rank computes a point of it again: an edited
forward pass, another loss of the same name or another library shows there. When a surface has become complete, some
points are computed by the network as its author wrote it, without what made it faster.
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
from lossgrid.evaluation import AMPLIFIED, ROUNDINGS, Evaluator
from lossgrid.merge import AGREE, AGREE_ACCURACY, SMALL_LOSS
from lossgrid.parallel import World, collective, gather, on_root
from lossgrid.settings import RunConfig
from lossgrid.surface import DONE, Origin, Quantity, Surface

log = logging.getLogger(__name__)

MOST_POINTS = 4  # that each rank computes again in a complete surface
SHARE_OF_RUN = 0.01  # of the computing, for that
LEAST_SECONDS = 1.0
# How far two computations of a value may be apart, as a share of it: in the same way, on the same kind of machine,
# where the bits are promised to be the same; and in another way or elsewhere.
SAME = {"float64": 1e-12, "float32": 1e-6, "tf32": 1e-6, "bfloat16": 1e-6}
ALIKE = {**AGREE, "float32": 1e-5}

Values = npt.NDArray[np.float64]
Index = tuple[int, int]


@dataclass(frozen=True)
class Difference:
    """A value that was not found again."""

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
    """Refuse to go on with a file whose stored points have other values now.

    Each computes another point: root that at the centre if it is
    there, the others some chosen by the seed.

    Args:
        old: What the file holds.
        config: The settings.
        evaluator: The network and the data, to be run as the file says.
        origin: That of this run.
        world: The ranks.

    Raises:
        InputError: A value differs beyond the last bits, or other quantities would be measured.
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
    tolerance = (SAME if promised else ALIKE)[config.precision]
    points = _chosen(old, config, config.seed, centre_first=True)
    difference = None
    if world.rank < len(points):
        index = points[world.rank]
        found = evaluator.point(*config.grid.at(*index)).values
        apart = 0.0 if promised else AGREE_ACCURACY
        difference = _first_difference(old, config, index, quantities, found, tolerance, apart)
        if difference is not None and not promised and _is_rounding(difference, evaluator, config.precision):
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
    """Tell whether the same bits are promised: equal libraries, processors, threads and way to evaluate points."""
    if theirs.merged is not None:  # of several runs, each in its way
        return False
    there, now = (
        (replace(one.recipe, about=None), one.versions, one.processors, one.threads, one.arithmetic)
        for one in (theirs, ours)
    )
    return there == now


def _what_changed(theirs: Origin, ours: Origin) -> str:
    """Say which source or library is another one than when the file was made."""
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
    """Compute points of a surface that has become complete again, by the plain network.

    Each rank computes up to ``MOST_POINTS`` points chosen by the seed, as many as ``SHARE_OF_RUN`` of the computing
    allows. Where that is less than one, the plain network and the one that was run are compared on some batches. A
    stop signal does not end it: all points are there, and it is short.

    Raises:
        RankError: A value differs by more than rounding. The file says so, and does not become complete.
    """
    surface = on_root(world, lambda: store.read(config.out))
    quantities = evaluator.quantities
    spent = float(np.nansum(surface.seconds)) / world.size
    cost = 2.0 * float(np.nanmedian(surface.seconds))  # of a point of the plain network
    affordable = max(LEAST_SECONDS, SHARE_OF_RUN * spent) / max(cost, 1e-9)
    count = max(1, min(MOST_POINTS, int(affordable)))
    points = _chosen(surface, config, config.seed + 1)[world.rank :: world.size][:count]
    is_plain = evaluator.network.variant == "plain"
    tolerance = (SAME if is_plain else ALIKE)[config.precision]
    difference = None
    for index in points:
        alpha, beta = config.grid.at(*index)
        if affordable >= 1.0:
            found = evaluator.plain_point(alpha, beta)
            difference = _first_difference(surface, config, index, quantities, found, tolerance, AGREE_ACCURACY)
        elif config.precision in ("float32", "float64"):
            run, plain = evaluator.glance(alpha, beta, max(1, int(affordable * evaluator.most_batches)))
            difference = _differs((alpha, beta), quantities, run, plain, tolerance, AGREE_ACCURACY)
        if difference is not None and not _is_rounding(difference, evaluator, config.precision):
            break
        difference = None
    first = next(filter(None, gather(world, difference)), None)
    if first is not None:
        _fail(config, evaluator, first, world)


def _fail(config: RunConfig, evaluator: Evaluator, first: Difference, world: World) -> None:
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


def _chosen(surface: Surface, config: RunConfig, seed: int, *, centre_first: bool = False) -> list[Index]:
    """Return the finished points of a surface in an order chosen by ``seed``."""
    rows, columns = np.nonzero((surface.status == DONE).reshape(config.grid.rows))
    order = np.random.default_rng(seed).permutation(len(rows))
    points = [(int(rows[i]), int(columns[i])) for i in order]
    centre = config.grid.centre
    if centre_first and centre in points:
        points.remove(centre)
        points.insert(0, centre)
    return points


def _first_difference(
    surface: Surface,
    config: RunConfig,
    index: Index,
    quantities: Sequence[Quantity],
    found: Values,
    share: float,
    apart: float,
) -> Difference | None:
    stored = np.array([surface[quantity.name].reshape(config.grid.rows)[index] for quantity in quantities])
    return _differs(config.grid.at(*index), quantities, stored, found, share, apart)


def _differs(
    point: tuple[float, float],
    quantities: Sequence[Quantity],
    stored: Values,
    found: Values,
    share: float,
    apart: float,
) -> Difference | None:
    """Return the first value that is not found again.

    Where a quantity varies by factors, it is further off than ``share`` of it; else than ``apart``.
    """
    for quantity, there, now in zip(quantities, stored.tolist(), found.tolist(), strict=True):
        if there == now or (math.isnan(there) and math.isnan(now)):
            continue
        by_factors = quantity.varies == "by factors"
        limit = share * max(abs(there), abs(now), SMALL_LOSS) if by_factors else apart
        if not abs(there - now) <= limit:
            return Difference(*point, quantity.name, there, now)
    return None


def _is_rounding(difference: Difference, evaluator: Evaluator, precision: str) -> bool:
    """Tell whether roundings of the weights move the value as far as it was found to be apart."""
    column = [quantity.name for quantity in evaluator.quantities].index(difference.name)
    point = (difference.alpha, difference.beta)
    values = [evaluator.plain_point(*point, shaken=shaken)[column] for shaken in (0.0, ROUNDINGS[precision])]
    apart = abs(difference.stored - difference.found)
    return bool(apart <= AMPLIFIED * abs(values[0] - values[1]))
