"""Files to write: refused before the work, written whole or not at all, also where the disk is full."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from lossgrid import store
from lossgrid.errors import InputError
from lossgrid.files import refuse_to_write, written_whole
from tests.conftest import Start, environment
from tests.unit.test_plot import bowl

COMMANDS = {
    "png": ["plot", "s.h5", "--kind", "heat", "--out", "o.png"],
    "pdf": ["plot", "s.h5", "--kind", "contourf", "--out", "o.pdf"],
    "svg": ["plot", "s.h5", "--kind", "contour", "--out", "o.svg"],
    "compare": ["compare", "s.h5", "s.h5", "--out", "o.png"],
    "csv": ["export", "s.h5", "--to", "csv", "--out", "o.csv"],
    "html": ["export", "s.h5", "--to", "html", "--out", "o.html"],
    "vtk": ["export", "s.h5", "--to", "vtk", "--out", "o.vtp"],
    "xdmf": ["export", "s.h5", "--to", "xdmf", "--out", "o.xdmf"],
}


def obstacle(folder: Path, kind: str) -> Path:
    """Return a name below ``folder`` that cannot be written to."""
    path = folder / "o.png"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "dangling link":
        path.symlink_to(folder / "nowhere.png")
    elif kind == "link to itself":
        path.symlink_to(path)
    elif kind == "too long":
        return folder / f"{'x' * 252}.png"
    elif kind == "too long a folder":
        return folder / ("x" * 256) / "o.png"
    elif kind == "no folder":
        return folder / "no" / "o.png"
    elif kind == "below a file":
        path.write_text("mine")
        return path / "o.png"
    elif kind == "where nothing can be made":
        return Path("/proc/o.png")
    elif kind == "no name at all":
        return folder / "o\0.png"
    return path


OBSTACLES = {
    "folder": "is a folder; give the name of a file in it",
    "fifo": "is not an ordinary file",
    "dangling link": "is a link to a file that is not there",
    "link to itself": "is a link to a file that is not there",
    "too long": "cannot write .*File name too long",
    "too long a folder": "cannot write .*File name too long|there is no folder",
    "no folder": "there is no folder",
    "below a file": "cannot write .*Not a directory|there is no folder",
    "where nothing can be made": "cannot write /proc/o.png",
    "no name at all": "cannot write",
}


@pytest.mark.parametrize("kind", OBSTACLES)
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_cannot_be_written_is_refused_before_the_work(tmp_path: Path, kind: str, overwrite: bool) -> None:
    path = obstacle(tmp_path, kind)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=OBSTACLES[kind]) as caught:
        refuse_to_write([path], overwrite=overwrite)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / f"{'ä' * 125}.png"
    refuse_to_write([path], overwrite=False)
    with written_whole(path, overwrite=False) as partial:
        partial.write_bytes(b"done")
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"done"]


def test_a_file_that_appears_in_the_meantime_stays(tmp_path: Path) -> None:
    path = tmp_path / "o.png"

    def write() -> None:
        with written_whole(path, overwrite=False) as partial:
            partial.write_bytes(b"ours")
            path.write_bytes(b"theirs")

    with pytest.raises(InputError, match="appeared in the meantime"):
        write()
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"theirs"]


def test_nothing_stays_of_a_file_whose_making_fails(tmp_path: Path) -> None:
    def write() -> None:
        with written_whole(tmp_path / "o.png", overwrite=False) as partial:
            partial.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("to", COMMANDS)
def test_a_full_disk_is_one_line_and_the_old_file_stays(tmp_path: Path, to: str) -> None:
    store.save(tmp_path / "s.h5", bowl(30, 30), overwrite=False)
    old = tmp_path / COMMANDS[to][-1]
    old.write_text("old")

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))  # bytes; Python ignores the signal and gets an error

    done = subprocess.run(
        [sys.executable, "-m", "lossgrid", *COMMANDS[to], "--overwrite"],
        cwd=tmp_path, env=environment(), text=True, capture_output=True, timeout=120, preexec_fn=fill, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"lossgrid: error: cannot write {old.name}: File too large; choose another --out"
    )
    assert "Traceback" not in done.stderr
    assert old.read_text() == "old"
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(["s.h5", old.name])


@pytest.mark.slow
@pytest.mark.parametrize("file", ["/", ".", "folder", "fifo.h5", "dangling.h5"])
@pytest.mark.parametrize("verb", ["plot", "compare", "export", "status"])
def test_what_is_no_file_is_refused_in_one_line(start: Start, tmp_path: Path, file: str, verb: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo.h5")
    (tmp_path / "dangling.h5").symlink_to("nowhere.h5")
    done = start(0, "lossgrid", verb, file, *(["--to", "csv"] if verb == "export" else []), timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("lossgrid: error: ")
    assert len(done.stderr.splitlines()) == 1
