"""The path of a run, on one page: settings in, a surface file out; torch, MPI and HDF5 meet here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from lossgrid.evaluation import Evaluator, Measured, arithmetic, with_fewer
from lossgrid.machine.allocator import freed_memory_kept
from lossgrid.parallel import World, collective, collectively, gather, on_root
from lossgrid.run.audit import audit, refuse_other_function
from lossgrid.run.axes import Axes, save_directions
from lossgrid.run.book import Book
from lossgrid.run.budget import Budget
from lossgrid.run.centre import warn_of_guessing, warn_of_missing_centre, warning_about_weights
from lossgrid.run.claim import claimed
from lossgrid.run.equipment import take_equipment
from lossgrid.run.lower import choose_precision
from lossgrid.run.nodes import refuse_different_versions
from lossgrid.run.preparation import prepare
from lossgrid.run.provenance import describe
from lossgrid.run.recipe import choose_recipe
from lossgrid.run.rounding import measure_rounding, refuse_rounding
from lossgrid.run.sharing import Look, Report, share
from lossgrid.run.study import Study, load_study
from lossgrid.settings import RunConfig
from lossgrid.surface.summary import lines_of_centre

log = logging.getLogger(__name__)


@collective
def run(
    config: RunConfig,
    world: World,
    budget: Budget,
    *,
    load: Callable[[RunConfig, World], Study] = load_study,
    progress: bool | None = None,
    look: Look = lambda _: None,
) -> bool:
    """Compute the pending points of the surface that ``config`` describes; return whether it is complete.

    Call it inside :func:`lossgrid.parallel.guarded`, with equal settings on all ranks.

    Args:
        config: The settings.
        world: The ranks.
        budget: The time limit, and whether this rank got a stop signal.
        load: Loads the network and the data; all ranks call it.
        progress: Whether root displays a bar; see :class:`lossgrid.progress.ProgressDisplay`.
        look: Called often on root while points are computed; see :func:`lossgrid.run.sharing.share`.

    Raises:
        InputError: The input is wrong; no file has been changed.
        RankError: Some ranks failed; points already written remain.
    """
    with arithmetic.restored(), claimed(config, world) as claim:
        config, old = claim.config, claim.old
        refuse_different_versions(config, world)
        equipment = take_equipment(config, world)
        if budget.is_spent(world):
            return False
        prepared = prepare(claim, equipment, load=load)
        with freed_memory_kept():
            recipe, evaluator = choose_recipe(
                config, prepared.evaluator, claim.recipe, world,
                points=int(claim.pending.sum()), seconds_left=budget.seconds_left,
            )  # fmt: skip
            if old is None:
                config, recipe, evaluator = choose_precision(
                    config, recipe, evaluator, world,
                    points=int(claim.pending.sum()), seconds_left=budget.seconds_left,
                )  # fmt: skip
                claim = replace(claim, config=config)
            chosen = config.precision
            collectively(world, lambda: arithmetic.refuse_other_arithmetic(chosen))
            origin = describe(
                config, prepared.study, prepared.digests, equipment, recipe, world, by_batch=prepared.fit.by_batch
            )
            origin = replace(origin, moved=prepared.axes.moved(evaluator.subject.plane.names))
            steady = all(gather(world, prepared.fit.deterministic))  # values of a noisy network cannot be found again
            if old is not None and steady:
                refuse_other_function(old, config, evaluator, origin, world)
            if claim.pending.any():
                refuse_rounding(config, evaluator, world)
            on_root(world, lambda: announce(config, prepared.study, prepared.axes))
            prepared = prepared.without_numbers()
            book = Book.create_or_resume(claim, evaluator.quantities, origin)
            few = with_fewer(evaluator, config.samples, book.digest) if config.samples else None
            complete = share(
                book, evaluator, budget, reporter(config, prepared.study, evaluator),
                few=few, samples=evaluator.most_samples, progress=progress, look=look,
            )  # fmt: skip
            rounding = None
            if complete and not claim.is_complete:
                if steady:
                    audit(config, evaluator, world)
                complete, rounding = measure_rounding(config, evaluator, world, budget.seconds_left)
            book.close(complete, rounding, budget, evaluator.subject.why_not_finite)
    return complete


def announce(config: RunConfig, study: Study, axes: Axes) -> None:
    """Write the direction file if asked for; warn of weights without training and of a grid without theta*.

    Raises:
        InputError: The direction file cannot be written.
    """
    if config.save_directions is not None:
        path = config.save_directions
        save_directions(path, study.model, axes, about=config.about_directions(), overwrite=config.overwrite)
    if (warning := warning_about_weights(study.weights, config.model)) is not None:
        log.warning(warning)
    warn_of_missing_centre(config.grid)


def reporter(config: RunConfig, study: Study, evaluator: Evaluator) -> Report:
    """Return a function that logs the values at the centre and warns if the accuracy is that of guessing."""
    quantities = evaluator.quantities
    classes = {name: split.num_classes for name, split in study.splits.items()}

    def report(measured: Measured) -> None:
        values = measured.values.tolist()
        for line in lines_of_centre(quantities, values, measured.errors.tolist()):
            log.info(line)
        if study.weights in ("checkpoint", "given"):
            warn_of_guessing(quantities, values, evaluator.samples, classes, config.data)

    return report
