"""The other verbs, and what needs no MPI."""

import re
from pathlib import Path
from typing import Any

import pytest

from lossgrid import store


def test_help_names_every_verb_and_needs_no_mpi(start: Any) -> None:
    done = start(0, "lossgrid", "--help", env={"MPI4PY_MPIABI": "none", "MPI4PY_LIBMPI": "/absent/libmpi.so"})
    assert done.returncode == 0, done.stderr
    for verb in ("run", "directions", "status", "plot", "check"):
        assert re.search(rf"\b{verb}\b", done.stdout)
    assert start(0, "lossgrid").returncode == 2


@pytest.mark.parametrize("verb", ["run", "directions", "status", "plot", "check"])
def test_every_verb_has_help(start: Any, verb: str) -> None:
    done = start(0, "lossgrid", verb, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout


@pytest.mark.parametrize("ranks", [0, 1, 3])
def test_check_writes_for_real_and_leaves_nothing(start: Any, tmp_path: Path, ranks: int) -> None:
    done = start(ranks, "lossgrid", "check", ".")
    assert done.returncode == 0, done.stderr
    assert "writer root (rank 0 writes for all): works" in done.stdout
    if ranks:
        works = "works" if store.has_parallel_hdf5() else "not tried"
        assert re.search(rf"^writer parallel.*: {works}", done.stdout, re.MULTILINE)
        assert len(re.findall(r"^\d +\S+ +\d +cpu", done.stdout, re.MULTILINE)) == ranks
    assert list(tmp_path.iterdir()) == []


def test_check_says_why_it_cannot_write(start: Any) -> None:
    done = start(2, "lossgrid", "check", "/proc")
    assert done.returncode == 1
    assert "FAILED" in done.stdout


def test_an_mpi_that_cannot_be_loaded_is_one_line(start: Any, tmp_path: Path) -> None:
    done = start(
        0, "lossgrid", "run", "--model", "mlp", "--writer", "parallel",
        env={"MPI4PY_MPIABI": "none", "MPI4PY_LIBMPI": "/absent/libmpi.so"},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("lossgrid: error: ")
    assert len(done.stderr.splitlines()) == 1
