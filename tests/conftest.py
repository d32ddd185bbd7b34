"""What all tests share: where things are, how to start lossgrid alone and under mpirun."""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import mpi4py
import pytest

mpi4py.rc.initialize = False  # h5py built with MPI must not start it in the test process: only mpirun's ranks may

from lossgrid import store  # noqa: E402
from lossgrid.parallel.stop import SIGNALS  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"

# Of what tests draw at random, such as the moment of a fault. Processes of pytest-xdist inherit it.
SEED = os.environ.setdefault("LOSSGRID_TEST_SEED", str(random.SystemRandom().randrange(10**6)))

# A shell ignores SIGINT for what it starts in the background, and jobs that inherit that cannot be interrupted.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
HANDLERS = {number: signal.getsignal(number) for number in SIGNALS}

Finished = subprocess.CompletedProcess[str]
Start = Callable[..., Finished]

# Of the launcher: tests run as root in containers, with more ranks than cores.
LAUNCHER = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "true",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a child: one thread per rank, so that values do not depend on the number of ranks."""
    paths = [str(ROOT / "tests" / "programs"), os.environ.get("PYTHONPATH", "")]
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths)), "COLUMNS": "200"}
    return {**os.environ, **LAUNCHER, **own, **(extra or {})}


def command_line(ranks: int, command: Sequence[str | Path]) -> list[str]:
    """Return ``command`` as it is started on ``ranks`` ranks; 0 is alone, without a launcher."""
    line = [str(part) for part in command]
    if line[0] == "lossgrid":
        line[:1] = [sys.executable, "-m", "lossgrid"]
    elif line[0].endswith(".py"):
        line.insert(0, sys.executable)
    return line if ranks == 0 else ["mpirun", "-n", str(ranks), *line]


def launch(
    ranks: int, *command: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 120
) -> Finished:
    """Run ``command`` to its end."""
    return subprocess.run(
        command_line(ranks, command),
        cwd=cwd, env=environment(env), text=True, capture_output=True, timeout=timeout, check=False,
    )  # fmt: skip


def pytest_report_header() -> str:
    """Tell the seed, by which a failure can be repeated."""
    return f"random faults: LOSSGRID_TEST_SEED={SEED}"


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Return what a test draws from: the same for the same seed and test, whatever runs beside it."""
    print(f"LOSSGRID_TEST_SEED={SEED}")
    return random.Random(f"{SEED} {request.node.nodeid}")


def give_back_handlers() -> None:
    """Set the handlers of signals as they were at first."""
    for number, handler in HANDLERS.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def signals_as_at_first() -> None:
    """Give back the handlers of signals: the command line ignores them when it ends, and children would inherit that.

    Not after the test that called it: fixtures of a whole module call it too, before the first of its tests.
    """
    give_back_handlers()


@pytest.fixture(autouse=True)
def log_as_at_first() -> Iterator[None]:
    """Take back the handlers of the log after each test: those of the command line write where that test listened."""
    logger = logging.getLogger("lossgrid")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers, logger.level = handlers, level


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Return a function that runs a command in ``tmp_path``: ``start(ranks, "lossgrid", "run", ...)``."""

    def started(ranks: int, *command: str | Path, **options: object) -> Finished:
        if ranks and shutil.which("mpirun") is None:
            pytest.skip("mpirun is not installed")
        return launch(ranks, *command, cwd=tmp_path, **options)  # type: ignore[arg-type]

    return started


def need_writer(writer: str) -> None:
    """Skip a test that needs all ranks to write where this h5py has no MPI, as that of PyPI."""
    if writer == "parallel" and not store.has_parallel_hdf5():
        pytest.skip("NOT RUN: this h5py has no MPI")


@pytest.fixture
def disk_of(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that mounts a file system of a size such as ``"16k"``; it skips where that is not allowed."""
    mounted: list[Path] = []

    def made(size: str) -> Path:
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("NOT RUN: no right to mount a file system")
        mounted.append(disk)
        return disk

    yield made
    for disk in mounted:
        subprocess.run(["umount", disk], check=True)


@pytest.fixture
def program() -> Callable[[str], Path]:
    """Return a function that gives the path of a program every rank of a test runs."""
    return lambda name: ROOT / "tests" / "programs" / name


@pytest.fixture
def shared() -> Path:
    """Return the folder of real data; tests that need it are skipped where it is not."""
    if not SHARED.is_dir():
        pytest.skip(f"NOT RUN: needs the real data in {SHARED}")
    return SHARED
