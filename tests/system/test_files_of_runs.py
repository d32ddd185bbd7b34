"""Whole jobs and their file: replaced, cut, linked, read-only, too large; each ends by name and damages nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lossgrid import store
from lossgrid.surface import PENDING
from tests.families import family, further
from tests.pace import soon
from tests.system.conftest import Inside, running, wait_for_points

pytestmark = pytest.mark.beside

SLOW = ("--model", "mlp", "--data", "users:pictures", "--loss", "users:slow_loss", "--alpha", "-1:1:12")
POINTS = 12
QUICK = ("--model", "mlp", "--data", "users:pictures", "--alpha", "-1:1:3")
SECONDS_TO_END = 60


def other_surface(inside: Inside, out: Path, *options: object) -> Path:
    path = out.with_name("other.h5")
    done = inside("run", *QUICK, *options, "--out", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.parametrize(
    ("ranks", "how"), family((0, 2), ("mv", "cp", "truncate"), full=[(0, "cp"), (2, "mv"), (2, "truncate")])
)
def test_a_file_that_is_replaced_in_mid_run_ends_the_run_by_name(
    inside: Inside, out: Path, how: str, ranks: int
) -> None:
    other = other_surface(inside, out)
    with running(ranks, "lossgrid", "run", *SLOW, cwd=out.parent) as job:
        wait_for_points(job, out, 9)  # so near to the end that no look at the file comes between
        if how == "mv":
            other.replace(out)
        elif how == "cp":
            shutil.copyfile(other, out)
        else:
            os.truncate(out, 1000)
        _, said = job.communicate(timeout=soon(SECONDS_TO_END))
        assert job.returncode == 1, said
    assert f"{out.name} was " in said
    assert "is complete" not in said
    if how == "mv":
        assert store.read(out).shape == (3,)
        assert store.read(out).complete


def test_three_runs_through_three_names_are_one(start: Any, out: Path) -> None:
    link, second = out.with_name("link.h5"), out.with_name("second.h5")
    long = (*SLOW[:-1], "-1:1:100")
    with running(0, "lossgrid", "run", *long, cwd=out.parent, env={"SECONDS_PER_POINT": "0.5"}) as job:
        wait_for_points(job, out, 1)
        link.symlink_to(out)
        refused = start(0, "lossgrid", "run", *long, "--out", link)
        assert refused.returncode == 2
        assert "link.h5 is in use by process" in refused.stderr
        second.hardlink_to(out)
        refused = start(0, "lossgrid", "run", *long, "--out", second)
        assert refused.returncode == 2
        assert "second.h5 has 2 names (hard links)" in refused.stderr
        job.send_signal(signal.SIGUSR1)
        _, said = job.communicate(timeout=soon(SECONDS_TO_END))
        assert job.returncode == 75, said
    link.unlink()
    link.symlink_to("nowhere.h5")
    refused = start(0, "lossgrid", "run", *QUICK, "--out", link)
    assert refused.returncode == 2
    assert "link.h5 is a link to nowhere.h5, which does not exist" in refused.stderr


@pytest.mark.parametrize(
    ("ranks", "axes"),
    [
        (0, ("--alpha", "0:1:1000000000000")),
        (2, ("--alpha", "0:1:1000000", "--beta", "0:1:1000000")),
        further(0, ("--alpha", "0:1:1000000", "--beta", "0:1:1000000")),
        further(2, ("--alpha", "0:1:1000000000000")),
    ],
)
def test_too_many_points_are_one_line_before_anything_is_loaded(
    start: Any, out: Path, ranks: int, axes: tuple[str, ...]
) -> None:
    refused = start(ranks, "lossgrid", "run", "--model", "users:breaks_on_rank_1", *axes)
    assert refused.returncode == 2
    assert "a surface of 1,000,000,000,000 points takes" in refused.stderr
    assert len([line for line in refused.stderr.splitlines() if "lossgrid" in line]) == 1  # the others are mpirun's
    assert not out.exists()


def test_contradictions_are_refused_before_a_run_goes_on(inside: Inside, out: Path) -> None:
    assert inside("run", *QUICK).returncode == 0
    with h5py.File(out, "r+") as file:
        file["status"][1] = PENDING
        file.attrs.modify("complete", 0)
        file["alpha"][...] *= 2
    refused = inside("run", *QUICK)
    assert refused.returncode == 2
    assert "/alpha has 3 coordinates from -2.0 to 2.0, and its settings say --alpha -1.0:1.0:3" in refused.stderr
    assert refused.stderr.count("\n") == 1
    with h5py.File(out, "r+") as file:
        file["alpha"][...] /= 2
        file.attrs.modify("complete", 1)  # beside a pending point
        del file.attrs["digest"]  # as in a file of an older version
    again = inside("run", *QUICK)
    assert again.returncode == 0, again.stderr
    assert "1 of 3 points are pending" in again.stderr
    assert store.read(out).complete


def test_a_damaged_file_that_halts_hdf5_is_one_line_for_every_verb(start: Any, out: Path) -> None:
    assert start(0, "lossgrid", "run", *QUICK).returncode == 0
    content = bytearray(out.read_bytes())
    place = content.index(b"GCOL") + 16
    content[place : place + 64] = bytes(64)
    out.write_bytes(content)
    verbs = (("status", out), ("run", *QUICK), ("export", out, "--to", "csv"))
    with ThreadPoolExecutor() as together:  # each waits for HDF5
        ended = list(together.map(lambda verb: start(0, "lossgrid", *verb, timeout=60), verbs))
    for refused in ended:
        assert refused.returncode == 2
        assert "surface.h5 is not a surface file or is damaged (HDF5 does not come to an end with it)" in refused.stderr
        assert refused.stderr.count("\n") == 1
    assert out.read_bytes() == bytes(content)


@pytest.fixture
def read_only(out: Path) -> Iterator[Callable[[Path], None]]:
    """Return a function that makes a path one that nobody may write, not even root."""
    mounted: list[Path] = []

    def protect(path: Path) -> None:
        if os.getuid():
            path.chmod(0o555)
            return
        if subprocess.run(["mount", "--bind", path, path], check=False, capture_output=True).returncode:
            pytest.skip("NOT RUN: root may write everywhere, and cannot mount")
        mounted.append(path)
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)

    yield protect
    for path in mounted:
        subprocess.run(["umount", "--lazy", path], check=True)
    out.parent.chmod(0o755)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_written_is_refused_before_a_run_goes_on(
    inside: Inside, out: Path, read_only: Callable[[Path], None], what: str
) -> None:
    place = out.parent / "place"
    place.mkdir()
    path = place / "surface.h5"
    assert inside("run", *QUICK, "--out", path).returncode == 0
    with h5py.File(path, "r+") as file:
        file["status"][1] = PENDING
        file.attrs.modify("complete", 0)
    read_only(path if what == "file" else place)
    again = inside("run", *QUICK, "--out", path)
    assert again.returncode == 2, again.stderr
    assert again.stderr.count("\n") == 1
    assert "cannot be written" in again.stderr
    assert "goes on from there" not in again.stderr
    looked = inside("status", path)
    assert looked.returncode == 0
    assert "done 2 of 3" in looked.stdout


def test_a_full_disk_is_one_line_for_directions_and_export(
    start: Any, inside: Inside, disk_of: Callable[[str], Path]
) -> None:
    disk = disk_of("16k")
    alone = ("--model", "mlp", "--data", "users:pictures")
    long = (*alone, "--max-samples", "2", "--alpha", "-1:1:900")
    assert inside("run", *long, "--out", "s.h5").returncode == 0
    for command in (
        ("directions", *alone, "--out", disk / "d.h5"),
        ("export", "s.h5", "--to", "loss-landscape", "--out", disk / "r.h5"),
        ("run", *long, "--out", disk / "s.h5"),
    ):
        refused = inside(*command)
        assert refused.returncode == 2, refused.stderr
        assert refused.stderr.splitlines()[-1].startswith("lossgrid: error: cannot ")
        assert "No space left on device" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert list(disk.iterdir()) == []
    (disk / "junk").write_bytes(bytes(16 * 1024))
    checked = start(0, "lossgrid", "check", disk)
    assert checked.returncode == 1, checked.stderr
    assert "No space left on device" in checked.stdout + checked.stderr


def test_looking_at_a_surface_takes_no_longer_than_it_did(inside: Inside, out: Path) -> None:
    """Reading in a process of its own costs a start of Python with HDF5, once for all files."""
    assert inside("run", *QUICK).returncode == 0
    store.read(out)
    began = time.perf_counter()
    for _ in range(20):
        assert np.isfinite(store.read(out)["train_loss"]).all()
    assert (time.perf_counter() - began) / 20 < 0.1
