"""The points of a run, shared among its ranks; each rank, or root for all, writes them into the file."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import numpy.typing as npt

from lossgrid import store
from lossgrid.evaluation import Measured, PointEvaluator
from lossgrid.parallel import Progress, Task, collective, coordinate
from lossgrid.progress import ProgressDisplay
from lossgrid.run.book import Book
from lossgrid.run.budget import Budget
from lossgrid.sampling import ROUNDS, Everything, Refine, Tolerance, completed
from lossgrid.surface import Grid, Results, Surface, Work

log = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]
Report = Callable[[Measured], None]
Predict = Callable[[Surface], Surface | None]  # returns a surface under way as its plan predicts it; None: it cannot
Look = Callable[[Predict], None]


@collective
def share(
    book: Book,
    evaluator: PointEvaluator,
    budget: Budget,
    report: Report,
    *,
    few: PointEvaluator | None = None,
    samples: int = 0,
    progress: bool | None = None,
    look: Look = lambda _: None,
) -> bool:
    """Compute the pending points into the file; return whether all are done.

    Args:
        book: The file.
        evaluator: Computes a point.
        budget: The time that is left.
        report: Called with the results at the centre of the grid, on the rank that computed them.
        few: Computes a point on fewer samples; None in a run that needs no estimates.
        samples: Number of samples of the largest split; only estimates need it.
        progress: Whether root displays a bar; see :class:`lossgrid.progress.ProgressDisplay`.
        look: Called often on root, for who reads the file meanwhile.
    """
    total = int(np.count_nonzero(book.pending))
    if total == 0:
        return True
    slowest = book.open_session()
    file = book.open_file()
    task = make_task(
        book.config.grid, evaluator, file, collects=book.writer == "root", budget=budget, report=report, few=few
    )
    began = time.monotonic()
    with ProgressDisplay(total, bar=progress) if book.world.is_root else nullcontext() as display:

        def show(progress: Progress) -> None:
            if display is not None:
                display.update(progress.done, progress.total)
            if file is not None:
                file.look()
            look(predict)

        def predict(surface: Surface) -> Surface | None:
            picture = plan.picture() if isinstance(plan, Refine) else None
            if picture is None:
                return None
            return completed(surface, picture, [quantity.name for quantity in book.quantities])

        plan = make_plan(book) if book.world.is_root else None
        if isinstance(plan, Refine) and book.old is None:
            warn_of_waiting(len(book.config.grid), book.world.size)
        complete = coordinate(book.world, plan, task, slowest=slowest, on_progress=show)
    # Not by a ``with``: closing is collective, and a rank that fails would hang there.
    if file is not None:
        file.close()
    book.interpolate(plan.picture() if isinstance(plan, Refine) else None, samples)
    book.close_session(seconds=time.monotonic() - began)
    return complete


def make_plan(book: Book) -> Everything | Refine:
    """Return the plan of the run: every point, or as many as its tolerance needs."""
    config, old = book.config, book.old
    if not config.tolerance:
        return Everything.of(book.pending, config.grid)
    known = None if old is None else old.computed.reshape(config.grid.rows)
    values = None
    if old is not None:
        values = np.stack([old[quantity.name].reshape(config.grid.rows) for quantity in book.quantities])
    tolerance = Tolerance(config.tolerance, config.tolerance_of)
    return Refine(
        config.grid, book.quantities, tolerance, digest=book.digest, values=values, known=known,
        samples=config.samples or 0, sampled=_estimates(book),
    )  # fmt: skip


def warn_of_waiting(points: int, ranks: int) -> None:
    """Warn if ranks compute all points about as soon as the rounds of a refined run come one after the other.

    Args:
        points: How many points the grid has.
        ranks: How many ranks there are.
    """
    in_a_row = math.ceil(points / ranks)
    if ranks > 1 and in_a_row <= ROUNDS:
        log.warning(
            "%d ranks compute all %d points in the time of %d, and --tolerance takes that of about %d, as its rounds "
            "wait for each other: leave it out, or start no more ranks than %d",
            ranks, points, in_a_row, ROUNDS, max(1, points // (ROUNDS + 1)),
        )  # fmt: skip


def _estimates(book: Book) -> Array | None:
    """Return values on as many samples as the run wants, which the file has already; None if it has none."""
    old, config = book.old, book.config
    if old is None or old.refinement is None or old.refinement.samples != (config.samples or 0):
        return None
    found = [old.sampled.get(one.name, np.full(old.shape, np.nan)) for one in book.quantities]
    return np.stack([one.reshape(config.grid.rows) for one in found])


def make_task(
    grid: Grid,
    evaluator: PointEvaluator,
    file: store.SurfaceFile | None,
    *,
    collects: bool,
    budget: Budget,
    report: Report = lambda _: None,
    few: PointEvaluator | None = None,
) -> Task:
    """Return the task of a rank for a point: evaluate it, and write it if this rank has the file open."""
    alphas = grid.alpha.values()
    betas = np.zeros(1) if grid.beta is None else grid.beta.values()
    centre = grid.centre
    unknown = np.full(len(evaluator.quantities), np.nan)
    nothing = Measured(unknown, unknown, 0.0)

    def evaluate(work: Work, tick: Callable[[], object]) -> Results:
        at = float(alphas[work.start]), float(betas[work.row])
        measured = nothing if work.samples else evaluator.point(*at, tick=tick)
        if (work.row, work.start) == centre and not work.samples:
            report(measured)
        if few is not None:
            measured = measured.joined(few.point(*at, tick=tick))
        return Results.of_point(work, *measured)

    def leave_to_root(results: Results, *, rank: int) -> None:
        """Write nothing: root gets the results and writes them."""

    write = leave_to_root if file is None else file.write
    return Task(evaluate, write, collect=write if collects else None, seconds_left=budget.seconds_left)
