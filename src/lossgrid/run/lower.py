"""A lower precision, chosen where the tolerance has room for its rounding and it is measured to be faster."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from lossgrid.evaluation import WORTH, Evaluator, seconds_in_turns
from lossgrid.parallel import World, broadcast, collective, gather
from lossgrid.run import recipe as recipes
from lossgrid.run.recipe import Recipe, Refusal, choose_recipe, try_on_all_ranks
from lossgrid.run.rounding import FIRST_BATCHES, difference, glances, in_tolerances
from lossgrid.sampling.budget import ROUNDING
from lossgrid.settings import RunConfig
from lossgrid.surface import Quantity

log = logging.getLogger(__name__)

CANDIDATES = {"cpu": "bfloat16"}  # by the type of the device


@collective
def choose_precision(
    config: RunConfig,
    recipe: Recipe,
    evaluator: Evaluator,
    world: World,
    *,
    points: int,
    seconds_left: Callable[[], float],
) -> tuple[RunConfig, Recipe, Evaluator]:
    """Return settings, recipe and evaluator of the fastest precision within the tolerance, equal on all ranks.

    Those given are returned where the user chose the precision, where the run is short, and where the lower precision
    is not clearly faster or its rounding is too large. Short means as in :func:`.tune`.

    Args:
        config: The settings of a new file.
        recipe: The recipe in float32.
        evaluator: An evaluator that follows it.
        world: The ranks.
        points: Number of points to compute.
        seconds_left: Returns the seconds left on this rank.
    """
    given = config, recipe, evaluator
    if not config.leaves_precision_open:
        return given
    # Device types may differ between ranks; a lower precision must be possible on all.
    names = {CANDIDATES.get(one, "") for one in gather(world, evaluator.device.type)}
    name = min(names)
    if len(names) > 1 or not name:
        return given
    samples = sum(evaluator.samples.values()) * points / world.size
    first = min(evaluator.batch_size, evaluator.most_samples)
    needed = samples * evaluator.seconds_of(evaluator.first(evaluator.batch_size)) / first
    if broadcast(world, min(needed, *gather(world, seconds_left()))) < recipes.TUNED_FROM:
        log.info("float32, as the run is too short to try %s", name)
        return given
    [slow] = seconds_in_turns(evaluator, [evaluator.network])
    plain = evaluator.in_precision(name)
    tried = try_on_all_ranks(world, lambda: plain.with_variant(evaluator.network.variant))
    lower = plain if isinstance(tried, Refusal) else tried
    [fast] = seconds_in_turns(lower, [lower.network])
    gain = broadcast(world, fast / slow)
    wanted = config.model_copy(update={"precision": name})
    why = f"{name} takes {gain:.2f} times its time" if gain > WORTH else _why_too_large(wanted, lower, world)
    if why:
        log.info("float32, as %s", why)
        evaluator.subject.in_precision("float32")  # the network is shared
        return given
    recipe, lower = choose_recipe(wanted, plain, None, world, points=points, seconds_left=seconds_left)
    log.info("%s, as it takes %.2f times the time of float32; --precision float32 prevents it", name, gain)
    return wanted, recipe, lower


@collective
def _why_too_large(config: RunConfig, evaluator: Evaluator, world: World) -> str:
    """Return why rounding does not fit into its share of the tolerance; empty if it does."""
    compared = glances(config, evaluator, world)
    low, high = (np.array([one[side] for one in compared.values()]).T for side in (0, 1))
    quantities: list[Quantity] = evaluator.quantities
    for quantity, found, exact in zip(quantities, low, high, strict=True):
        if max(map(difference, [quantity] * len(found), found.tolist(), exact.tolist())) > config.max_rounding:
            return f"{config.precision} differs from it by more than --max-rounding {config.max_rounding:g}"
    worst = in_tolerances(config, quantities, low, high)
    name = max(worst, key=worst.__getitem__)
    share = f"{100 * worst[name]:.2g} % of the tolerance for {name.replace('_', ' ')}"
    log.info("rounding to %s, on %d batches at %d points: %s", config.precision, FIRST_BATCHES, len(compared), share)
    return f"rounding to {config.precision} takes {share}" if worst[name] > ROUNDING else ""
