"""How the ranks of a run evaluate points: decided once, alike for all, and kept in the file, as last bits depend on it.

What is set by hand, or was recorded by the run before, is used or refused. The rest is chosen here: what is the same
function and needs no measurement at once, and where the run is long enough for it to pay, by measurements on all ranks
together, of which those of rank 0 count.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lossgrid.data.batch import count
from lossgrid.errors import InputError
from lossgrid.evaluation import (
    USUAL_BATCH,
    WORTH,
    Differs,
    Evaluator,
    Unsuitable,
    best_batch_size,
    even_batches,
    seconds_in_turns,
)
from lossgrid.parallel import World, broadcast, collectively, gather
from lossgrid.settings import RunConfig
from lossgrid.wording import duration

log = logging.getLogger(__name__)

LADDER = ("fused", "folded", "plain")  # variants of the network: the first that can be
TUNED_FROM = 30.0  # s of forward passes on each rank, from which measuring pays
TUNING_SECONDS = 3.0
COMPILED_FROM = 1200.0  # s, from which the minute it takes to try torch.compile may pay


@dataclass(frozen=True)
class Recipe:
    """What the last bits of a surface depend on, besides the kind of device and the number of threads.

    Attributes:
        variant: How the network is run; see :mod:`lossgrid.evaluation.network`.
        batch_size: Samples per forward pass.
        cuda_graphs: Whether points are replayed as CUDA graphs.
        about: What was chosen and why, in words.
    """

    variant: str
    batch_size: int
    cuda_graphs: bool
    about: str = field(default="", compare=False)


@dataclass(frozen=True)
class Refusal:
    """Why a rank could not do what was tried; ``differs`` where it would have computed something else."""

    reason: str
    differs: bool


def choose_recipe(
    config: RunConfig,
    evaluator: Evaluator,
    recorded: Mapping[str, Any] | None,
    world: World,
    *,
    points: int,
    seconds_left: Callable[[], float],
) -> Recipe:
    """Decide for all ranks, and set ``evaluator`` up so.

    Collective: all ranks of ``world`` must call this.

    Args:
        config: The settings.
        evaluator: The network and the data, run plainly so far.
        recorded: What the file to go on with says; None for a new one.
        world: The ranks.
        points: Points to compute.
        seconds_left: Tells how long the run may still take, as far as this rank knows.

    Raises:
        InputError: What is set by hand or recorded cannot be.
    """
    asked = by_hand(config) if recorded is None else recorded
    if points == 0 and recorded is not None:
        return run_as_recorded(Recipe(**recorded), evaluator, world)
    evaluator.rebatch(asked.get("batch_size") or even_batches(max(evaluator.samples.values()), USUAL_BATCH))
    variant = asked.get("variant")
    climb(evaluator, world, None if variant == "compiled" else variant)
    why = [] if recorded is not None else tune(evaluator, world, asked, points=points, seconds_left=seconds_left)
    if variant == "compiled":
        insist(world, "--variant compiled", attempt(world, lambda: evaluator.use("compiled")))
    if asked.get("cuda_graphs", evaluator.place.device.type == "cuda"):
        refusal = attempt(world, evaluator.capture)
        if "cuda_graphs" in asked:
            insist(world, "--cuda-graphs yes", refusal)
        elif refusal is not None:
            evaluator.rebatch(evaluator.batch_size)  # without a graph, also where it could be recorded
            report("no CUDA graphs", refusal)
    network = evaluator.network
    about = [network.about or "the network as it is", f"batches of {evaluator.batch_size}"]
    about += ["CUDA graphs"] if evaluator.is_captured else []
    text = f"{', '.join(about)}" + (f" ({'; '.join(why)})" if why else "")
    log.info("variant %s: %s", network.variant, text)
    return Recipe(network.variant, evaluator.batch_size, evaluator.is_captured, text)


def run_as_recorded(recorded: Recipe, evaluator: Evaluator, world: World) -> Recipe:
    """Run the network as a complete file says, as far as that takes no time; return ``recorded``.

    Collective: all ranks of ``world`` must call this, with equal arguments.
    """
    evaluator.rebatch(recorded.batch_size)
    if recorded.variant != "compiled":
        attempt(world, lambda: evaluator.use(recorded.variant))
    return recorded


def tune(
    evaluator: Evaluator, world: World, asked: Mapping[str, Any], *, points: int, seconds_left: Callable[[], float]
) -> list[str]:
    """Choose by measurement what is not ``asked`` for, where the run is long enough for it to pay; say why.

    Collective: all ranks of ``world`` must call this.
    """
    variant = asked.get("variant")
    samples = sum(evaluator.samples.values()) * points / world.size  # that each rank will compute
    inputs = evaluator.first_inputs(evaluator.batch_size)
    needed = broadcast(world, samples * evaluator.seconds_of(inputs) / count(inputs))

    def expected() -> float:
        return min(needed, *gather(world, seconds_left()))  # a rank may have been told to stop

    if (seconds := expected()) < TUNED_FROM:
        return [f"nothing tuned, for a run of about {duration(seconds)}"]
    why = []
    if variant is None:
        prefer_faster(evaluator, world)
    if "batch_size" not in asked:
        began = time.monotonic()
        size = broadcast(world, best_batch_size(evaluator, seconds=TUNING_SECONDS))
        why.append(f"batch size tuned in {duration(time.monotonic() - began)}")
        rebatch(evaluator, world, size, None if variant == "compiled" else variant)
    if variant is None and expected() >= COMPILED_FROM:
        why.append(try_compiled(evaluator, world, samples=samples))
    return why


def by_hand(config: RunConfig) -> dict[str, Any]:
    """Return what the settings prescribe, by the names of :class:`Recipe`; what is left open is not there."""
    graphs = {"auto": None, "yes": True, "no": False}[config.cuda_graphs]
    said = {
        "variant": None if config.variant == "auto" else config.variant,
        "batch_size": None if config.batch_size == "auto" else config.batch_size,
        "cuda_graphs": graphs,
    }
    return {name: value for name, value in said.items() if value is not None}


def climb(evaluator: Evaluator, world: World, variant: str | None) -> None:
    """Run the network as ``variant`` on all ranks, or as the first of ``LADDER`` that all can.

    Collective: all ranks of ``world`` must call this.

    Raises:
        InputError: ``variant`` cannot be.
    """
    for candidate in LADDER if variant is None else (variant,):
        refusal = attempt(world, lambda candidate=candidate: evaluator.use(candidate))  # type: ignore[misc]
        if refusal is None:
            return
        if variant is not None:
            insist(world, f"--variant {variant}", refusal)
        report(f"not {candidate}", refusal)


def prefer_faster(evaluator: Evaluator, world: World) -> None:
    """Do without fused kernels where they are not faster: libraries differ in what they are good at.

    Collective: all ranks of ``world`` must call this.
    """
    fused = evaluator.network
    if fused.variant != "fused":
        return
    if attempt(world, lambda: evaluator.use("folded")) is None:
        folded = evaluator.network
        slow, fast = seconds_in_turns(evaluator, (fused, folded))
        if broadcast(world, fast < WORTH * slow):
            evaluator.network = folded
            return
    evaluator.network = fused


def rebatch(evaluator: Evaluator, world: World, size: int, variant: str | None) -> None:
    """Use batches of another size, and make sure that the network is the same function in these too.

    Collective: all ranks of ``world`` must call this, with equal arguments.

    Raises:
        InputError: ``variant``, set by hand, is not.
    """
    current = evaluator.network.variant
    if size == evaluator.batch_size:
        return
    evaluator.rebatch(size)
    if attempt(world, lambda: evaluator.use(current)) is not None:
        climb(evaluator, world, variant)


def try_compiled(evaluator: Evaluator, world: World, *, samples: float) -> str:
    """Use torch.compile where it saves each rank more than it takes; say what was found.

    Collective: all ranks of ``world`` must call this.
    """
    before = evaluator.network
    began = time.monotonic()
    refusal = attempt(world, lambda: evaluator.use("compiled"))
    if refusal is not None:
        evaluator.network = before
        return f"not compiled, as {refusal.reason}"
    taken, compiled = time.monotonic() - began, evaluator.network
    slow, fast = seconds_in_turns(evaluator, (before, compiled))
    saved, taken = broadcast(world, (samples * (slow - fast) if fast < WORTH * slow else 0.0, taken))
    if saved > taken:
        evaluator.network = compiled
        return f"compiled in {duration(taken)}, saves {duration(saved)} on each rank"
    evaluator.network = before
    return f"not compiled: it takes {duration(taken)} and saves {duration(saved)}"


def attempt(world: World, action: Callable[[], None]) -> Refusal | None:
    """Do ``action`` on every rank; return why it could not be on one of them, None where it could on all.

    Collective: all ranks of ``world`` must call this.
    """
    refusal = None
    try:
        action()
    except Unsuitable as error:
        refusal = Refusal(str(error), isinstance(error, Differs))
    return next(filter(None, gather(world, refusal)), None)


def insist(world: World, option: str, refusal: Refusal | None) -> None:
    """Refuse the run where something it must be computed with cannot be.

    Collective: all ranks of ``world`` must call this, with equal arguments.

    Raises:
        InputError: There is a refusal.
    """

    def refuse() -> None:
        if refusal is not None:
            raise InputError(f"{option}: {refusal.reason}; leave the option out, with another --out for a file of it")

    collectively(world, refuse)


def report(what: str, refusal: Refusal) -> None:
    """Say why something was not done: as a warning where it would have been wrong."""
    (log.warning if refusal.differs else log.info)("%s: %s", what, refusal.reason)
