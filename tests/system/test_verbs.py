"""The other verbs, and what needs no MPI."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossgrid import store
from tests.builders import a_surface
from tests.families import further
from tests.system.conftest import Inside

pytestmark = pytest.mark.beside

VERBS = ("train", "run", "directions", "status", "plot", "compare", "merge", "export", "import", "check", "job")
OF_OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4"}
OF_SLURM = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4"}
SPEED = r"[\d.]+ [MG]B/s, a point in [\d.]+ ms"


def test_help_names_every_verb_and_needs_no_mpi(start: Any) -> None:
    done = start(0, "lossgrid", "--help", env={"MPI4PY_MPIABI": "none", "MPI4PY_LIBMPI": "/absent/libmpi.so"})
    assert done.returncode == 0, done.stderr
    for verb in VERBS:
        assert re.search(rf"\b{verb}\b", done.stdout)
    assert start(0, "lossgrid").returncode == 2


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(inside: Inside, verb: str) -> None:
    done = inside(verb, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout


def test_numbers_and_formats_of_users_are_taken_by_name(start: Any, tmp_path: Path) -> None:
    store.save(tmp_path / "s.h5", a_surface({"train_loss": np.array([3.0, 1.0, 2.0])}))
    (tmp_path / "own.py").write_text(
        "def highest(surface, quantity): return surface[quantity.name].max()\n"
        "def write(surface, path): path.write_text(str(surface.shape))\n"
        "def fails(*given): raise ValueError('not today')\n"
    )
    compared = start(0, "lossgrid", "compare", "s.h5", "--json", "--number", "own:highest", "--number", "h=own:highest")
    assert compared.returncode == 0, compared.stderr
    assert [json.loads(compared.stdout)[0][key] for key in ("highest", "h")] == [3.0, 3.0]
    exported = start(0, "lossgrid", "export", "s.h5", "--to", "own:write", "--out", "s.txt")
    assert (exported.returncode, exported.stdout) == (0, "s.txt\n")
    assert (tmp_path / "s.txt").read_text() == "(3,)"
    for verb in (["compare", "s.h5", "--number", "own:fails"], ["export", "s.h5", "--to", "own:fails", "--out", "t"]):
        refused = start(0, "lossgrid", *verb)
        assert refused.returncode == 2
        assert refused.stderr.splitlines()[-1].endswith("own:fails raised ValueError: not today (own.py:3)")
        assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("ranks", [0, further(1), 3])
def test_check_writes_for_real_and_leaves_nothing(start: Any, tmp_path: Path, ranks: int) -> None:
    done = start(ranks, "lossgrid", "check", ".")
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^writer root \(rank 0 writes for all\): works, {SPEED}$", done.stdout, re.MULTILINE)
    if ranks:
        works = f"works, {SPEED}" if store.has_parallel_hdf5() else "not tried, this h5py has no MPI"
        assert re.search(rf"^writer parallel .*: {works}$", done.stdout, re.MULTILINE)
        assert len(re.findall(r"^\d +\S+ +\d +cpu", done.stdout, re.MULTILINE)) == ranks
        assert re.search(r"^mpi4py .*\n? *\S*/libmpi\S*\.so", done.stdout, re.MULTILINE)
    assert "locks     flock works, fcntl works" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("fit for runs")
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert list(tmp_path.iterdir()) == []


def test_check_says_why_it_cannot_write(start: Any) -> None:
    done = start(2, "lossgrid", "check", "/proc")
    assert done.returncode == 1
    assert done.stderr.count("lossgrid: error: cannot make a folder in /proc: No such file or directory") == 1


def test_check_refuses_what_is_no_folder(start: Any, tmp_path: Path) -> None:
    done = start(2, "lossgrid", "check", "absent")
    assert done.returncode == 2
    assert done.stderr.count("lossgrid: error: absent is no folder") == 1
    assert list(tmp_path.iterdir()) == []


def test_check_refuses_a_folder_that_cannot_be_written(start: Any, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    done = start(0, "lossgrid", "check", small_disk)
    assert done.returncode == 2
    assert done.stderr == f"lossgrid: error: {small_disk} cannot be written; give another folder\n"
    assert done.stdout == ""


@pytest.mark.parametrize("ranks", [0, 2])
def test_check_tells_a_full_disk(start: Any, small_disk: Path, ranks: int) -> None:
    (small_disk / "full").write_bytes(bytes(8192))
    done = start(ranks, "lossgrid", "check", small_disk)
    assert done.returncode == 1
    tried = 2 if ranks and store.has_parallel_hdf5() else 1
    assert len(re.findall("^writer .*: FAILED: No space left on device$", done.stdout, re.MULTILINE)) == tried
    assert "MB left" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("not fit for runs")
    assert [path.name for path in small_disk.iterdir()] == ["full"]


@pytest.fixture
def small_disk(disk_of: Callable[[str], Path]) -> Path:
    """Return a file system of two pages."""
    return disk_of("8k")


def test_check_finds_two_mpi_libraries_in_a_process(start: Any, tmp_path: Path) -> None:
    other = tmp_path / "lib" / "libmpi_other.so.1"
    other.parent.mkdir()
    shutil.copy(np.random.bit_generator.__file__, other)
    (other.parent / "sitecustomize.py").write_text(f"import ctypes\nctypes.CDLL({str(other)!r})\n")
    done = start(2, "lossgrid", "check", ".", env={"PYTHONPATH": str(other.parent)})
    assert done.returncode == 1
    assert "ERROR: 2 MPI libraries are loaded in ranks 0-1 on " in done.stdout
    assert str(other) in done.stdout
    assert re.search(r"^writer parallel .*: not tried, ", done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-1].startswith("1 error")


def test_check_warns_of_too_many_threads(start: Any) -> None:
    threads = str(os.cpu_count() + 1)  # type: ignore[operator]
    done = start(0, "lossgrid", "check", ".", env={"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads})
    assert done.returncode == 0
    assert f"warning: {threads} threads share " in done.stdout
    assert f"-> OMP_NUM_THREADS={threads} asks for them: unset it" in done.stdout
    assert f"warning: MKL_NUM_THREADS={threads} is more than the " in done.stdout
    assert re.search(r"^fit for runs, with [2-9] warnings$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("ranks", [0, 2])
def test_check_tells_on_one_line_which_library_does_not_load(start: Any, tmp_path: Path, ranks: int) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "h5py.py").write_text("raise ImportError('libhdf5.so.310: cannot open shared object file')\n")
    done = start(ranks, "lossgrid", "check", ".", env={"PYTHONPATH": str(tmp_path / "lib")})
    assert done.returncode == 2
    assert done.stderr.count("a library cannot be loaded (ImportError: libhdf5.so.310: cannot open") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("verb", "variables"),
    [
        ("check", OF_OPEN_MPI),
        ("run", OF_SLURM),
        further("check", OF_SLURM),
        further("run", OF_OPEN_MPI),
    ],
)
def test_a_launcher_of_another_mpi_is_one_line_that_says_what_to_do(
    start: Any, tmp_path: Path, variables: dict[str, str], verb: str
) -> None:
    rest = ["."] if verb == "check" else ["--model", "mlp"]
    done = start(0, "lossgrid", verb, *rest, env=variables)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert re.match(r"lossgrid: error: .* started 4 ranks, but mpi4py's MPI \(.*\) sees 1: each process", done.stderr)
    assert "MPI4PY_LIBMPI" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_mpi_that_cannot_be_loaded_is_one_line(start: Any, tmp_path: Path) -> None:
    done = start(
        0, "lossgrid", "run", "--model", "mlp", "--writer", "parallel",
        env={"MPI4PY_MPIABI": "none", "MPI4PY_LIBMPI": "/absent/libmpi.so"},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("lossgrid: error: ")
    assert len(done.stderr.splitlines()) == 1
