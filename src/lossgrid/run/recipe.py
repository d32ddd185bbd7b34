"""How the ranks of a run evaluate points: chosen once for all ranks, and stored in the file, as last bits depend on it.

Choices of the user, and those of a file to resume, are followed or refused. All others are made here. The variant
comes first and needs no measurement. In runs long enough for it to pay, all ranks then measure together, and the
measurements of rank 0 decide.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lossgrid.errors import InputError
from lossgrid.evaluation import (
    WORTH,
    Differs,
    Evaluator,
    Unsuitable,
    best_batch_size,
    even_batches,
    seconds_in_turns,
)
from lossgrid.parallel import World, broadcast, collective, collectively, gather
from lossgrid.settings import RunConfig
from lossgrid.wording import duration

log = logging.getLogger(__name__)

LADDER = ("fused", "folded", "plain")  # variants of the network; the first that all ranks can run is used
TUNED_FROM = 30.0  # s of forward passes on each rank, from which measuring pays
TUNING_SECONDS = 3.0  # s for the search of a batch size
COMPILED_FROM = 1200.0  # s of forward passes on each rank, from which a trial of torch.compile, about a minute, may pay


@dataclass(frozen=True)
class Recipe:
    """How points are evaluated. The last bits of a surface depend on it, on the type of device and on the threads.

    Attributes:
        variant: How the network is run; see :mod:`lossgrid.evaluation.network`.
        batch_size: Samples per forward pass.
        cuda_graphs: Whether points are replayed as CUDA graphs.
        about: The choices and their reasons, in words.
    """

    variant: str
    batch_size: int
    cuda_graphs: bool
    about: str = field(default="", compare=False)


@dataclass(frozen=True)
class Refusal:
    """Why a rank could not make an evaluator; ``differs`` if its values would have been those of another function."""

    reason: str
    differs: bool


@collective
def choose_recipe(
    config: RunConfig,
    evaluator: Evaluator,
    recorded: Mapping[str, Any] | None,
    world: World,
    *,
    points: int,
    seconds_left: Callable[[], float],
) -> tuple[Recipe, Evaluator]:
    """Choose the recipe for all ranks; return it, and an evaluator that follows it.

    Args:
        config: The settings.
        evaluator: The evaluator of this rank, with the variant ``plain``.
        recorded: The recipe of the file to resume; None for a new file.
        world: The ranks.
        points: Number of points to compute.
        seconds_left: Returns the seconds left on this rank.

    Raises:
        InputError: A choice of the user or of the file is impossible.
    """
    asked = by_hand(config) if recorded is None else recorded
    if points == 0 and recorded is not None:
        return run_as_recorded(Recipe(**recorded), evaluator, world)
    variant = asked.get("variant")
    evaluator = untuned(evaluator, world, asked)
    why: list[str] = []
    if recorded is None:
        evaluator, why = tune(evaluator, world, asked, points=points, seconds_left=seconds_left)
    if variant == "compiled":
        tried = try_on_all_ranks(world, lambda: evaluator.with_variant("compiled"))
        evaluator = require(world, "--variant compiled", tried)
    evaluator = recorded_as_asked(evaluator, world, asked)
    network, captured = evaluator.network, evaluator.recorded is not None
    about = [network.about or "the network as it is", f"batches of {evaluator.batch_size}"]
    about += ["CUDA graphs"] if captured else []
    about += [f"outputs: {evaluator.reads}"] if evaluator.reads else []
    text = f"{', '.join(about)}" + (f" ({'; '.join(why)})" if why else "")
    log.info("variant %s: %s", network.variant, text)
    return Recipe(network.variant, evaluator.batch_size, captured, text), evaluator


@collective
def untuned(evaluator: Evaluator, world: World, asked: Mapping[str, Any]) -> Evaluator:
    """Return an evaluator with what ``asked`` prescribes, and where it is silent what needs no measurement.

    Its arguments are equal on all ranks. It is not compiled and has no CUDA graphs.

    Raises:
        InputError: A choice of the user or of the file is impossible.
    """
    usual = min(gather(world, evaluator.batch_size))  # less than usual where the GPU of a rank is small
    evaluator = evaluator.with_batches_of(asked.get("batch_size") or even_batches(evaluator.most_samples, usual))
    variant = asked.get("variant")
    return use_first_possible(evaluator, world, None if variant == "compiled" else variant)


@collective
def recorded_as_asked(evaluator: Evaluator, world: World, asked: Mapping[str, Any]) -> Evaluator:
    """Return an evaluator with CUDA graphs, where ``asked`` has them or is silent and they are possible.

    Its arguments are equal on all ranks.

    Raises:
        InputError: They are asked for and impossible.
    """
    if not asked.get("cuda_graphs", evaluator.device.type == "cuda"):
        return evaluator
    tried = try_on_all_ranks(world, evaluator.with_graphs)
    if "cuda_graphs" in asked:
        return require(world, "--cuda-graphs yes", tried)
    if isinstance(tried, Refusal):
        report("no CUDA graphs", tried)
        return evaluator
    return tried


@collective
def run_as_recorded(recorded: Recipe, evaluator: Evaluator, world: World) -> tuple[Recipe, Evaluator]:
    """Return the recipe of a complete file, and an evaluator that follows it as far as that takes no time.

    No compilation and no CUDA graph. Its arguments are equal on all ranks.
    """
    evaluator = evaluator.with_batches_of(recorded.batch_size)
    if recorded.variant != "compiled":
        tried = try_on_all_ranks(world, lambda: evaluator.with_variant(recorded.variant))
        return recorded, evaluator if isinstance(tried, Refusal) else tried
    return recorded, evaluator


@collective
def tune(
    evaluator: Evaluator, world: World, asked: Mapping[str, Any], *, points: int, seconds_left: Callable[[], float]
) -> tuple[Evaluator, list[str]]:
    """Choose by measurement what ``asked`` leaves open, if the run is long enough; return the evaluator and reasons."""
    variant = asked.get("variant")
    samples = sum(evaluator.samples.values()) * points / world.size  # forward passes of each rank, in samples
    first = min(evaluator.batch_size, evaluator.most_samples)
    needed = broadcast(world, samples * evaluator.seconds_of(evaluator.first(evaluator.batch_size)) / first)

    def expected() -> float:
        return min(needed, *gather(world, seconds_left()))  # 0 after a stop signal to any rank

    if (seconds := expected()) < TUNED_FROM:
        return evaluator, [f"nothing tuned, for a run of about {duration(seconds)}"]
    why = []
    if variant is None:
        evaluator = prefer_faster(evaluator, world)
    if "batch_size" not in asked:
        began = time.monotonic()
        size = min(gather(world, best_batch_size(evaluator, seconds=TUNING_SECONDS)))
        why.append(f"batch size tuned in {duration(time.monotonic() - began)}")
        evaluator = rebatched(evaluator, world, size, None if variant == "compiled" else variant)
    if variant is None and expected() >= COMPILED_FROM:
        evaluator, found = try_compiled(evaluator, world, samples=samples)
        why.append(found)
    return evaluator, why


def by_hand(config: RunConfig) -> dict[str, Any]:
    """Return the fields of :class:`Recipe` that the settings prescribe, by name; open ones are left out."""
    graphs = {"auto": None, "yes": True, "no": False}[config.cuda_graphs]
    said = {
        "variant": None if config.variant == "auto" else config.variant,
        "batch_size": None if config.batch_size == "auto" else config.batch_size,
        "cuda_graphs": graphs,
    }
    return {name: value for name, value in said.items() if value is not None}


@collective
def use_first_possible(evaluator: Evaluator, world: World, variant: str | None) -> Evaluator:
    """Return an evaluator of ``variant``, or of the first variant of ``LADDER`` that is possible on all ranks.

    Raises:
        InputError: ``variant`` is not possible on a rank.
    """
    if variant is not None:
        return require(world, f"--variant {variant}", try_on_all_ranks(world, lambda: evaluator.with_variant(variant)))
    for candidate in LADDER:
        tried = try_on_all_ranks(world, partial(evaluator.with_variant, candidate))
        if not isinstance(tried, Refusal):
            return tried
        report(f"not {candidate}", tried)
    return evaluator


@collective
def prefer_faster(fused: Evaluator, world: World) -> Evaluator:
    """Return the folded evaluator if it is clearly faster than ``fused``, else ``fused``; it depends on libraries."""
    if fused.network.variant != "fused":
        return fused
    folded = try_on_all_ranks(world, lambda: fused.with_variant("folded"))
    if isinstance(folded, Refusal):
        return fused
    slow, fast = seconds_in_turns(fused, (fused.network, folded.network))
    return folded if broadcast(world, fast < WORTH * slow) else fused


@collective
def rebatched(evaluator: Evaluator, world: World, size: int, variant: str | None) -> Evaluator:
    """Return an evaluator with batches of another size, with a variant that is the same function in these too.

    Its arguments are equal on all ranks.

    Raises:
        InputError: ``variant``, chosen by the user, is another function in these batches.
    """
    if size == evaluator.batch_size:
        return evaluator
    evaluator = evaluator.with_batches_of(size)
    tried = try_on_all_ranks(world, lambda: evaluator.with_variant(evaluator.network.variant))
    return use_first_possible(evaluator, world, variant) if isinstance(tried, Refusal) else tried


@collective
def try_compiled(before: Evaluator, world: World, *, samples: float) -> tuple[Evaluator, str]:
    """Return the compiled evaluator if it saves more time than it costs, else ``before``; and the reason."""
    began = time.monotonic()
    compiled = try_on_all_ranks(world, lambda: before.with_variant("compiled"))
    if isinstance(compiled, Refusal):
        return before, f"not compiled, as {compiled.reason}"
    taken = time.monotonic() - began
    slow, fast = seconds_in_turns(before, (before.network, compiled.network))
    saved, taken = broadcast(world, (samples * (slow - fast) if fast < WORTH * slow else 0.0, taken))
    if saved > taken:
        return compiled, f"compiled in {duration(taken)}, saves {duration(saved)} on each rank"
    return before, f"not compiled: it takes {duration(taken)} and saves {duration(saved)}"


@collective
def try_on_all_ranks(world: World, make: Callable[[], Evaluator]) -> Evaluator | Refusal:
    """Make an evaluator on every rank; return it, or the first refusal of a rank."""
    made, refusal = None, None
    try:
        made = make()
    except Unsuitable as error:
        refusal = Refusal(str(error), isinstance(error, Differs))
    first = next(filter(None, gather(world, refusal)), None)
    if first is not None:
        return first
    assert made is not None
    return made


@collective
def require(world: World, option: str, tried: Evaluator | Refusal) -> Evaluator:
    """Return the evaluator in ``tried``.

    Its arguments are equal on all ranks.

    Raises:
        InputError: ``tried`` is a refusal; the text names ``option``.
    """

    def refuse() -> Evaluator:
        if isinstance(tried, Refusal):
            raise InputError(f"{option}: {tried.reason}; leave the option out, with another --out for a file of it")
        return tried

    return collectively(world, refuse)


def report(what: str, refusal: Refusal) -> None:
    """Log why something was not done; as a warning if it would have been another function."""
    (log.warning if refusal.differs else log.info)("%s: %s", what, refusal.reason)
