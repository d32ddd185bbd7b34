"""What this installation can do: the ranks and their devices, the libraries, and a real write by all ranks at once."""

from __future__ import annotations

import os
import platform
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from lossgrid import store
from lossgrid.errors import InputError, LossgridError, RankError
from lossgrid.evaluation import choose_place
from lossgrid.grid import Axis, Grid, Segment
from lossgrid.parallel import World, abort_guard, broadcast, collectively, gather, library, on_root
from lossgrid.provenance import PACKAGES
from lossgrid.run import divide_cores

WIDTH = 120


@dataclass(frozen=True)
class Seat:
    """What one rank has to compute with."""

    rank: int
    host: str
    local_rank: int
    device: str
    threads: int


def check_installation(world: World, folder: Path) -> bool:
    """Print what there is, try a write in ``folder``, and return whether that worked.

    Collective: all ranks of ``world`` must call this.

    Raises:
        InputError: The folder does not exist or cannot be written.
    """
    with abort_guard(world):
        on_root(world, lambda: check_folder(folder))
        place = choose_place("auto", "float32", local_rank=world.local_rank)
        seat = Seat(world.rank, world.host, world.local_rank, place.name, divide_cores(world))
        seats = gather(world, seat)
        facts = describe(world)
        if world.is_root:
            show(seats, facts)
        writers = ["parallel", "root"] if store.has_parallel_hdf5() and world.comm is not None else ["root"]
        problems = {writer: try_writing(world, folder, writer) for writer in writers}
        if world.is_root:
            report(problems, seats)
    return not any(problems.values())


def check_folder(folder: Path) -> None:
    """Refuse a folder nothing can be written into.

    Raises:
        InputError: It is none, or there is no permission.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the one surfaces will be written to")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder} cannot be written; give another folder")


def describe(world: World) -> dict[str, str]:
    """Return names and versions of what lossgrid stands on."""
    hdf5 = f"{store.hdf5_version()}, {'parallel' if store.has_parallel_hdf5() else 'serial: rank 0 writes for all'}"
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "HDF5": hdf5,
        "MPI": library(world) if world.comm is not None else "not started; it is under mpirun or srun",
        "ranks": str(world.size),
    }


def show(seats: list[Seat], facts: Mapping[str, str]) -> None:
    """Print the ranks and the libraries."""
    console = Console(
        width=WIDTH, force_terminal=False, highlight=False
    )  # Open MPI makes every log look like a terminal
    libraries = Table(box=None, show_header=False, pad_edge=False)
    for name, text in facts.items():
        libraries.add_row(name, text)
    ranks = Table("rank", "host", "local rank", "device", "threads", box=None, pad_edge=False)
    for seat in seats:
        ranks.add_row(str(seat.rank), seat.host, str(seat.local_rank), seat.device, str(seat.threads))
    console.print(libraries, "", ranks, "", sep="\n")


def try_writing(world: World, folder: Path, writer: str) -> str | None:
    """Write a small surface as a run does and read it back; return what went wrong, None where nothing did.

    Collective: all ranks of ``world`` must call this.
    """
    path = folder / f".lossgrid-check-{broadcast(world, os.getpid())}.h5"
    grid = Grid(Axis(0.0, float(world.size), world.size + 1))
    metrics = [store.Metric("train_loss", "nats per sample")]
    comm = world.comm if writer == "parallel" else None

    def write() -> None:
        try:
            file = store.SurfaceFile(path, metrics, comm)
            for point in [world.rank] if comm is not None else range(world.size):
                file.write(Segment(0, point, point + 1), np.array([[float(point), 0.0]]), rank=point)
            file.close()
        except OSError as error:
            raise RankError(f"writing {path}: {error}") from None

    try:
        on_root(world, lambda: store.create(path, grid, metrics, config={}, provenance={}))
        collectively(world, lambda: write() if comm is not None or world.is_root else None)
        problem = on_root(world, lambda: _read_back(path, world.size))
    except LossgridError as error:
        problem = str(error)
    on_root(world, lambda: path.unlink(missing_ok=True))
    return problem


def _read_back(path: Path, size: int) -> str | None:
    surface = store.read(path)
    expected = np.arange(size, dtype=np.float64)
    if np.array_equal(surface["train_loss"][:size], expected) and surface.pending == 1:
        return None
    return f"expected {expected.tolist()} and one point pending, read {surface['train_loss'].tolist()}"


def report(problems: Mapping[str, str | None], seats: list[Seat]) -> None:
    """Print what the writes gave, and what is worth knowing about the devices."""
    names = {"parallel": "every rank writes the file itself", "root": "rank 0 writes for all"}
    for writer, problem in problems.items():
        sys.stdout.write(f"writer {writer} ({names[writer]}): {'works' if problem is None else f'FAILED: {problem}'}\n")
    if "parallel" not in problems:
        why = (
            "this h5py has no MPI"
            if not store.has_parallel_hdf5()
            else "start it as: mpirun -n 2 lossgrid check FOLDER"
        )
        sys.stdout.write(f"writer parallel: not tried, {why}\n")
    shared = Counter((seat.host, seat.device) for seat in seats if "GPU-" in seat.device)
    for (host, device), count in shared.items():
        if count > 1:
            sys.stdout.write(
                f"note: {count} ranks on {host} share {device}; start as many ranks per node as it has GPUs\n"
            )
