"""Plans: which points come next, coarse to fine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossgrid import plot
from lossgrid.sampling import Everything
from lossgrid.surface import DONE, PENDING, Axis, Grid, Surface, Work
from lossgrid.surface.lattice import FEWEST, finest_whole, stride_of, whole_part, works
from lossgrid.surface.summary import as_lines, summarise
from lossgrid.wording import ordinal
from tests.builders import a_surface

SHAPES = [(1, 1), (1, 40), (40, 1), (7, 5), (25, 25), (33, 64), (3, 200)]


def points(plan: Everything, at_most: int = 3) -> list[tuple[int, int]]:
    """Give away everything; return the points in their order."""
    found = []
    while not plan.is_over:
        before = plan.remaining
        work = plan.ask(at_most)
        assert work is not None
        assert 1 <= len(work) <= at_most
        assert plan.remaining == before - len(work)
        found += [(work.row, column) for column in work.columns]
    assert plan.remaining == 0
    assert plan.ask(1) is None
    return found


def test_work_is_split_at_its_steps() -> None:
    work = Work(2, 1, 12, 5)
    assert list(work.columns) == [1, 6, 11]
    first, rest = work.split(2)
    assert (list(first.columns), list(rest.columns), first.row, rest.row) == ([1, 6], [11], 2, 2)
    whole, nothing = work.split(7)
    assert (list(whole.columns), len(nothing)) == ([1, 6, 11], 0)


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(0, 39), st.integers(0, 39), st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 100]),
)  # fmt: skip
def test_every_pending_point_comes_once_and_no_other(
    rows: int, columns: int, row: int, column: int, seed: int, at_most: int
) -> None:
    pending = np.random.default_rng(seed).random((rows, columns)) < 0.6
    found = points(Everything(works(pending, (row % rows, column % columns))), at_most)
    assert len(set(found)) == len(found)
    assert set(found) == set(zip(*map(np.ndarray.tolist, np.nonzero(pending)), strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_each_lattice_is_whole_before_the_next_begins(shape: tuple[int, int]) -> None:
    origin = (shape[0] // 2, shape[1] // 3)
    order = points(Everything(works(np.ones(shape, dtype=bool), origin)))
    known, stride = np.zeros(shape, dtype=bool), stride_of(shape)
    for row, column in order:
        assert (row - origin[0]) % stride == (column - origin[1]) % stride == 0
        known[row, column] = True
        whole = finest_whole(known, origin)
        if whole == stride and stride > 1:
            stride //= 2
    assert finest_whole(known, origin) == 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_first_picture_is_coarse_and_still_one(shape: tuple[int, int]) -> None:
    stride = stride_of(shape)
    assert stride == 1 or max(shape) / stride > FEWEST
    assert max(shape) <= 2 * stride * FEWEST


def test_the_trained_network_comes_first_and_is_a_point_of_every_lattice() -> None:
    grid = Grid(Axis(-1, 3, 41), Axis(-2, 1, 31))
    assert grid.centre == (20, 10)
    order = points(Everything.of(np.ones(grid.rows, dtype=bool), grid))
    assert order[0] == grid.centre
    assert len(order) == len(set(order)) == len(grid)
    stride = stride_of(grid.rows)
    assert stride == 4
    first = order[: 8 * 10]
    assert all((row - 20) % stride == (column - 10) % stride == 0 for row, column in first)


def test_a_grid_without_the_trained_network_begins_all_the_same() -> None:
    grid = Grid(Axis(1, 3, 20))
    assert sorted(points(Everything.of(np.ones(grid.rows, dtype=bool), grid))) == [(0, i) for i in range(20)]


def test_a_run_that_goes_on_finishes_the_lattice_it_was_in() -> None:
    grid = Grid(Axis(-1, 1, 33), Axis(-1, 1, 33))
    order = points(Everything.of(np.ones(grid.rows, dtype=bool), grid))
    pending = np.ones(grid.rows, dtype=bool)
    for point in order[:200]:
        pending[point] = False
    assert points(Everything.of(pending, grid)) == order[200:]


def half_done(grid: Grid, count: int) -> Surface:
    """Return a surface of which the plan has given so many points."""
    pending = np.ones(grid.rows, dtype=bool)
    for point in points(Everything.of(pending, grid))[:count]:
        pending[point] = False
    alpha = grid.alpha.values()
    beta = None if grid.beta is None else grid.beta.values()
    loss = np.where(pending, np.nan, 0.1 + alpha**2 + (0 if beta is None else beta[:, None] ** 2)).reshape(grid.shape)
    status = np.where(pending, PENDING, DONE).astype(np.uint8).reshape(grid.shape)
    return replace(a_surface({"train_loss": loss}, alpha=alpha, beta=beta, status=status), complete=False)


@pytest.mark.parametrize(
    ("grid", "count", "stride", "shape"),
    [
        (Grid(Axis(-1, 1, 33), Axis(-1, 1, 17)), 60, 2, (9, 17)),
        (Grid(Axis(-1, 1, 33), Axis(-1, 1, 17)), 200, 2, (9, 17)),
        (Grid(Axis(-1, 1, 101)), 40, 4, (25,)),
        (Grid(Axis(-1, 1, 101)), 60, 2, (51,)),
    ],
    ids=str,
)
def test_a_surface_that_is_being_computed_is_drawn_as_its_finest_whole_lattice(
    grid: Grid, count: int, stride: int, shape: tuple[int, ...]
) -> None:
    surface = half_done(grid, count)
    part = whole_part(surface)
    if len(shape) == 2 and count == 60:  # 5 x 9 points of every 4th, and some of every 2nd
        stride, shape = 4, (5, 9)
    assert (part.stride, part.shape) == (stride, shape)
    assert part.pending == 0
    assert np.isfinite(part["train_loss"]).all()
    assert 0.0 in part.alpha
    picture = plot.draw(surface)
    texts = [text.get_text() for axes in picture.axes for text in axes.texts] + [
        axes.get_title(loc="right") for axes in picture.axes
    ]
    assert any(f"every {ordinal(stride)} point so far" in text for text in texts)
    lines = as_lines(summarise(surface))
    along = " along both axes" if len(shape) == 2 else ""
    assert f"every {ordinal(stride)} point{along} is there: a whole picture, if a coarser one" in lines


def test_a_surface_that_is_whole_or_nearly_is_drawn_as_it_is() -> None:
    grid = Grid(Axis(-1, 1, 33), Axis(-1, 1, 33))
    for count in (33 * 33, 33 * 33 - 10):
        surface = half_done(grid, count)
        assert whole_part(surface) is surface
    nothing = half_done(grid, 3)
    assert whole_part(nothing) is nothing
    assert summarise(nothing)["whole_stride"] is None


def test_no_lattice_is_whole_at_first() -> None:
    assert finest_whole(np.zeros((9, 9), dtype=bool), (4, 4)) is None
