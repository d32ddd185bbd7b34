"""What a run says before its points are shared."""

from __future__ import annotations

import logging

import pytest

from lossgrid.run.sharing import warn_of_waiting
from lossgrid.surface import Axis, Grid

PLANE, LINE = Grid(Axis(-1, 1, 51), Axis(-1, 1, 51)), Grid(Axis(-1, 1, 401), None)


@pytest.mark.parametrize(
    ("grid", "ranks", "most"),
    [(PLANE, 1, None), (PLANE, 520, None), (PLANE, 521, 433), (PLANE, 16384, 433), (LINE, 44, None), (LINE, 400, 44),
     (Grid(Axis(0, 1, 3), None), 1, None), (Grid(Axis(0, 1, 3), None), 3, 1)],
)  # fmt: skip
def test_ranks_that_would_wait_are_told_how_many_are_enough(
    grid: Grid, ranks: int, most: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """51 x 51 points have four levels: with the coarsest lattice five points one after the other."""
    with caplog.at_level(logging.WARNING):
        warn_of_waiting(grid, ranks)
    if most is None:
        assert not caplog.records
        return
    assert f"leave it out, or start no more ranks than {most}" in caplog.text
    if most > 1:
        caplog.clear()
        warn_of_waiting(grid, most)
        assert not caplog.records
