"""What a run says before its points are shared."""

from __future__ import annotations

import logging

import pytest

from lossgrid.run.sharing import warn_of_waiting

PLANE, LINE = 51 * 51, 401


@pytest.mark.parametrize(
    ("points", "ranks", "most"),
    [(PLANE, 1, None), (PLANE, 371, None), (PLANE, 372, 325), (PLANE, 16384, 325), (LINE, 57, None), (LINE, 400, 50),
     (3, 1, None), (3, 3, 1)],
)  # fmt: skip
def test_ranks_that_would_wait_are_told_how_many_are_enough(
    points: int, ranks: int, most: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A refined run takes about seven points one after the other."""
    with caplog.at_level(logging.WARNING):
        warn_of_waiting(points, ranks)
    if most is None:
        assert not caplog.records
        return
    assert f"leave it out, or start no more ranks than {most}" in caplog.text
    if most > 1:
        caplog.clear()
        warn_of_waiting(points, most)
        assert not caplog.records
