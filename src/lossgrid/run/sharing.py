"""The points of a run, shared among its ranks; each rank, or root for all, writes them into the file."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np

from lossgrid import store
from lossgrid.evaluation import Measured, PointEvaluator
from lossgrid.parallel import Progress, Task, collective, coordinate
from lossgrid.progress import ProgressDisplay
from lossgrid.run.book import Book
from lossgrid.run.budget import Budget
from lossgrid.sampling import Everything
from lossgrid.surface import Grid, Results, Work

Report = Callable[[Measured], None]


@collective
def share(
    book: Book, evaluator: PointEvaluator, budget: Budget, report: Report, *, progress: bool | None = None
) -> bool:
    """Compute the pending points into the file; return whether all are done.

    Args:
        book: The file.
        evaluator: Computes a point.
        budget: The time that is left.
        report: Called with the results at the centre of the grid, on the rank that computed them.
        progress: Whether root displays a bar; see :class:`lossgrid.progress.ProgressDisplay`.
    """
    total = int(np.count_nonzero(book.pending))
    if total == 0:
        return True
    slowest = book.open_session()
    file = book.open_file()
    task = make_task(book.config.grid, evaluator, file, collects=book.writer == "root", budget=budget, report=report)
    began = time.monotonic()
    with ProgressDisplay(total, bar=progress) if book.world.is_root else nullcontext() as display:

        def show(progress: Progress) -> None:
            if display is not None:
                display.update(progress.done)
            if file is not None:
                file.look()

        plan = Everything.of(book.pending, book.config.grid) if book.world.is_root else None
        complete = coordinate(book.world, plan, task, slowest=slowest, on_progress=show)
    # Not by a ``with``: closing is collective, and a rank that fails would hang there.
    if file is not None:
        file.close()
    book.close_session(seconds=time.monotonic() - began)
    return complete


def make_task(
    grid: Grid,
    evaluator: PointEvaluator,
    file: store.SurfaceFile | None,
    *,
    collects: bool,
    budget: Budget,
    report: Report = lambda _: None,
) -> Task:
    """Return the task of a rank for a point: evaluate it, and write it if this rank has the file open."""
    alphas = grid.alpha.values()
    betas = np.zeros(1) if grid.beta is None else grid.beta.values()
    centre = grid.centre

    def evaluate(work: Work, tick: Callable[[], object]) -> Results:
        measured = evaluator.point(float(alphas[work.start]), float(betas[work.row]), tick=tick)
        if (work.row, work.start) == centre:
            report(measured)
        return Results.of_point(work, *measured)

    def leave_to_root(results: Results, *, rank: int) -> None:
        """Write nothing: root gets the results and writes them."""

    write = leave_to_root if file is None else file.write
    return Task(evaluate, write, collect=write if collects else None, seconds_left=budget.seconds_left)
