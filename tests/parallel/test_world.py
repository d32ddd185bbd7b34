"""How ranks agree, go on, and end; under mpiexec."""

import time
from typing import Any

import pytest

from tests.families import family
from tests.pace import soon

pytestmark = pytest.mark.beside


@pytest.mark.parametrize("ranks", family((1, 2, 3, 4), full=[(1,), (2,), (3,)], any_mpi=[(1,), (3,)]))
def test_values_reach_every_rank(start: Any, program: Any, ranks: int) -> None:
    done = start(ranks, program("agreeing.py"), "values")
    assert (done.returncode, done.stdout.strip()) == (0, "nothing"), done.stderr


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize(("case", "text"), [("root refuses", "no such file"), ("all refuse", "no such model")])
def test_what_is_wrong_for_all_is_said_once_by_all(start: Any, program: Any, ranks: int, case: str, text: str) -> None:
    done = start(ranks, program("agreeing.py"), case)
    assert (done.returncode, done.stdout.strip()) == (0, f"InputError: {text}"), done.stderr


@pytest.mark.any_mpi
def test_what_is_wrong_for_some_names_them_to_all(start: Any, program: Any) -> None:
    done = start(3, program("agreeing.py"), "last refuses")
    assert done.returncode == 0
    assert done.stdout.startswith("RankError: 1 of 3 ranks cannot go on: rank 2 of 3 on ")
    assert "no GPU here" in done.stdout
    assert "rank 2 of 3 on" in done.stderr


@pytest.mark.parametrize(
    ("case", "rank"), [pytest.param("last raises", 2, marks=pytest.mark.any_mpi), ("root raises", 0)]
)
def test_an_unexpected_fault_ends_all_ranks_within_seconds(start: Any, program: Any, case: str, rank: int) -> None:
    began = time.monotonic()
    done = start(3, program("agreeing.py"), case)
    assert time.monotonic() - began < soon(15)
    assert done.returncode == 1
    assert f"lossgrid: rank {rank} of 3 on " in done.stderr
    assert "failed; start again" in done.stderr
    assert "ZeroDivisionError: a fault nobody expected" in done.stderr
