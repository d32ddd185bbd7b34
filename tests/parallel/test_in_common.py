"""What one rank of a node makes for all of them; under mpiexec, where two ranks are a node."""

import time
from typing import Any

import pytest

from tests.families import family
from tests.pace import soon

pytestmark = pytest.mark.beside
COPIES = "cannot share memory (Permission denied): each holds its own copy of things"


@pytest.mark.parametrize(
    ("case", "ranks"),
    family(("nodes", "one node"), (1, 2, 3, 4), full=[("nodes", 3), ("nodes", 4), ("one node", 1), ("one node", 3)],
           any_mpi=[("nodes", 3)]),
)  # fmt: skip
def test_every_rank_has_every_bit_of_what_one_made(start: Any, program: Any, case: str, ranks: int) -> None:
    done = start(ranks, program("in_common.py"), case)
    assert (done.returncode, done.stdout.strip()) == (0, "nothing"), done.stderr


@pytest.mark.parametrize("case", ["no memory", "hidden"])
def test_ranks_that_cannot_share_memory_get_copies_and_say_so(start: Any, program: Any, case: str) -> None:
    done = start(4, program("in_common.py"), case)
    assert done.returncode == 0, done.stderr
    warning, said = done.stdout.splitlines()
    assert (warning.startswith("ranks on "), warning.endswith(COPIES), said) == (True, True, "nothing")


def test_memory_of_another_process_is_not_taken(start: Any, program: Any) -> None:
    done = start(3, program("in_common.py"), "another memory")
    assert done.returncode == 0, done.stderr
    assert "another memory" in done.stdout or done.stdout == "nothing\n"


@pytest.mark.parametrize("ranks", [1, 3])
def test_what_every_node_refuses_is_said_once(start: Any, program: Any, ranks: int) -> None:
    done = start(ranks, program("in_common.py"), "refuses")
    assert (done.returncode, done.stdout.strip()) == (0, "InputError: no such file"), done.stderr


def test_what_one_node_refuses_names_its_ranks(start: Any, program: Any) -> None:
    done = start(4, program("in_common.py"), "one refuses")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("RankError: 2 of 4 ranks cannot go on: rank 0 of 4 on ")
    assert "no such file" in done.stdout


@pytest.mark.parametrize(
    ("case", "said"),
    [("breaks", "ZeroDivisionError: a fault nobody expected"), ("killed", ""), ("frozen", "error: rank 0 of 4 on ")],
)
def test_a_rank_that_fails_while_others_wait_for_it_ends_the_job(
    start: Any, program: Any, case: str, said: str
) -> None:
    began = time.monotonic()
    done = start(4, program("in_common.py"), case)
    assert done.returncode not in (0, 75)
    assert time.monotonic() - began < soon(20)
    assert said in done.stderr
