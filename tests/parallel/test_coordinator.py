"""Sharing points among ranks, under mpiexec."""

import json
from typing import Any

import pytest

from tests.families import family

pytestmark = pytest.mark.beside


@pytest.mark.parametrize(
    ("ranks", "grid"),
    family(
        (1, 2, 3, 4), ((1, 1), (1, 3), (1, 40), (7, 5), (2, 31), (31, 2)),
        full=[(1, (7, 5)), (2, (1, 1)), (2, (2, 31)), (3, (1, 40)), (3, (31, 2)), (4, (1, 3)), (4, (7, 5))],
        any_mpi=[(3, (31, 2)), (4, (1, 3))],
    ),
    ids=str,
)  # fmt: skip
def test_every_pending_point_is_computed_once(start: Any, program: Any, ranks: int, grid: tuple[int, int]) -> None:
    rows, columns = grid
    done = start(ranks, program("coordinate.py"), rows, columns, 0.003)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["complete"]
    assert report["done"] == report["pending"] == rows * columns - columns // 3


@pytest.mark.any_mpi
def test_all_ranks_work(start: Any, program: Any) -> None:
    report = json.loads(start(4, program("coordinate.py"), 6, 20, 0.02).stdout)
    assert min(report["busy"]) > 0.5 * sum(report["busy"]) / 4


@pytest.mark.parametrize("ranks", family((1, 2, 4), full=[(1,), (4,)], any_mpi=[(4,)]))
def test_any_rank_can_stop_all(start: Any, program: Any, ranks: int) -> None:
    done = start(ranks, program("coordinate.py"), 20, 20, 0.02, "stop")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert not report["complete"]
    assert 3 <= report["done"] < report["pending"]


@pytest.mark.parametrize("ranks", family((2, 3, 4), full=[(2,), (3,)], any_mpi=[(3,)]))
def test_ranks_of_different_speed_end_within_one_point_of_each_other(start: Any, program: Any, ranks: int) -> None:
    """Where the machine lets ranks wait, points take longer; the bounds are of what they took."""
    fast = 0.04
    report = json.loads(start(ranks, program("coordinate.py"), 12, 15, fast, "slow").stdout)
    slow = 5 * fast
    assert report["complete"]
    assert report["busy"][-1] < min(report["busy"][:-1]) * 5 / 3  # a third of the points, each five times as long
    assert report["apart"] < slow + 0.05 + 2 * report["late"]  # within the last point, and as it is handed over


@pytest.mark.parametrize(
    ("ranks", "grid"),
    family((1, 2, 3, 4), ((1, 1), (1, 2), (7, 5)), full=[(1, (7, 5)), (2, (1, 1)), (3, (1, 2)), (4, (7, 5))]),
    ids=str,
)
def test_the_first_pending_point_is_the_first_of_root(
    start: Any, program: Any, ranks: int, grid: tuple[int, int]
) -> None:
    rows, columns = grid
    done = start(ranks, program("coordinate.py"), rows, columns, 0.003, "centre")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["complete"]
    assert report["done"] == report["pending"]
