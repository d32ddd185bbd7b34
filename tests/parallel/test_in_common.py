"""What one rank of a node makes for all of them; under mpiexec, where two ranks are a node."""

import time
from typing import Any

import pytest

from tests.families import family, further
from tests.pace import soon

pytestmark = pytest.mark.beside


@pytest.mark.parametrize("ranks", family((1, 2, 3, 4), full=[(4,)], any_mpi=[(4,)]))
def test_every_rank_has_every_bit_of_what_one_made_or_its_error(start: Any, program: Any, ranks: int) -> None:
    done = start(ranks, program("in_common.py"), timeout=soon(60))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    said = dict(line.split(": ", 1) for line in lines if not line.startswith("warning: "))
    refused = said.pop("one refuses")
    assert said.pop("all refuse") == "InputError: no such file"
    assert said == dict.fromkeys(("nodes", "one node", "no memory", "hidden", "another memory"), "the same")
    if ranks > 2:
        assert refused.startswith(f"RankError: 2 of {ranks} ranks cannot go on: rank 0 of {ranks} on ")
    warnings = [line for line in lines if line.startswith("warning: ranks on ")]
    has_company = ranks % 2 == 0  # the last rank, which cannot share memory
    assert len(warnings) == (0 if ranks == 1 else 3 if has_company else 1)
    assert all("cannot share memory (" in line and line.endswith("its own copy of things") for line in warnings)
    assert ("another memory" in warnings[-1]) == has_company if warnings else True


@pytest.mark.parametrize(("case", "said"), [("killed", ""), further("frozen", "error: rank 0 of 4 on ")])
def test_a_rank_that_fails_while_others_wait_for_it_ends_the_job(
    start: Any, program: Any, case: str, said: str
) -> None:
    began = time.monotonic()
    done = start(4, program("in_common.py"), case)
    assert done.returncode not in (0, 75)
    assert time.monotonic() - began < soon(20)
    assert said in done.stderr
