import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from lossgrid import store
from lossgrid.errors import InputError, RankError
from lossgrid.files import in_use, locked
from lossgrid.surface import DONE, NOT_FINITE, Grid, Work, seconds_of
from tests.builders import a_grid, quantities, results

METRICS = quantities("train")
PLANE = a_grid()
LINE = a_grid(betas=None)


def make(path: Path, grid: Grid = PLANE) -> Path:
    store.create(path, grid, METRICS, config={"model": "mlp"}, provenance={"writer": "root"})
    return path


def test_the_schema_is_that_of_the_contract(tmp_path: Path) -> None:
    with h5py.File(make(tmp_path / "s.h5"), "r") as file:
        assert bytes(file.attrs["sessions"]).strip() == b"[]"
        varies = {"created": "", "config": "", "provenance": "", "finished": b"", "sessions": b"", "id": b""}
        assert len(file.attrs["id"]) == 32
        assert (bytes(file.attrs["rounding"]), bytes(file.attrs["digest"])) == (b" " * 2000, b" " * 64)
        varies |= {"rounding": b"", "digest": b"", "quantities": ""}
        assert json.loads(file.attrs["quantities"]) == [
            {
                "name": "train_loss", "split": "train", "kind": "loss", "units": "nats per sample",
                "better": "lower", "bounds": [None, None], "varies": "by factors",
            },
            {
                "name": "train_accuracy", "split": "train", "kind": "accuracy", "units": "1",
                "better": "higher", "bounds": [0, 1], "varies": "by differences",
            },
        ]  # fmt: skip
        assert dict(file.attrs) | varies == {
            "format": "lossgrid", "format_version": 2, "complete": 0, "quantities": "",
            "created": "", "config": "", "provenance": "", "finished": b"", "sessions": b"",
            "id": b"", "rounding": b"", "digest": b"",
        }  # fmt: skip
        assert json.loads(file.attrs["config"]) == {"model": "mlp"}
        shapes = {name: (dataset.shape, dataset.dtype.str) for name, dataset in file.items()}
        assert shapes == {
            "alpha": ((5,), "<f8"), "beta": ((3,), "<f8"),
            "train_loss": ((3, 5), "<f8"), "train_accuracy": ((3, 5), "<f8"),
            "train_loss_error": ((3, 5), "<f4"), "train_accuracy_error": ((3, 5), "<f4"),
            "status": ((3, 5), "|u1"), "seconds": ((3, 5), "<f4"), "rank": ((3, 5), "<i4"),
        }  # fmt: skip
        assert np.isnan(file["train_loss"][...]).all()
        assert (file["status"][...] == 0).all()
        assert file["train_loss"].attrs["units"] == "nats per sample"
        for name in ("train_loss", "status", "seconds", "rank"):
            assert file[name].chunks is None
            assert file[name].id.get_offset() is not None  # allocated early: writing values moves no structure
            assert [dimension[0].name for dimension in file[name].dims] == ["/beta", "/alpha"]


def test_a_line_has_no_beta(tmp_path: Path) -> None:
    with h5py.File(make(tmp_path / "s.h5", LINE), "r") as file:
        assert "beta" not in file
        assert file["train_loss"].shape == (5,)
        assert file["train_loss"].dims[0][0].name == "/alpha"


@pytest.mark.parametrize("grid", [PLANE, LINE])
def test_what_is_written_is_read(tmp_path: Path, grid: Grid) -> None:
    path = make(tmp_path / "s.h5", grid)
    row = grid.rows[0] - 1
    file = store.SurfaceFile(path, METRICS)
    file.write(results(Work(row, 1, 3), np.array([[1.5, 0.5, 0.1], [np.inf, 0.25, 0.2]])), rank=7)
    file.close()
    surface = store.read(path)
    where = (row, slice(1, 3)) if grid is PLANE else slice(1, 3)
    np.testing.assert_array_equal(surface["train_loss"][where], [1.5, np.inf])
    np.testing.assert_array_equal(surface["train_accuracy"][where], [0.5, 0.25])
    np.testing.assert_array_equal(surface.status[where], [DONE, NOT_FINITE])
    np.testing.assert_array_equal(surface.rank[where], [7, 7])
    np.testing.assert_allclose(surface.seconds[where], [0.1, 0.2])
    assert surface.pending == len(grid) - 2
    assert not surface.complete
    assert surface.finished is None
    file = store.SurfaceFile(path, METRICS)
    for line in range(grid.rows[0]):
        file.write(results(Work(line, 0, 5), np.full((5, 3), 2.0)), rank=0)
    file.close()
    store.finish(store.identify(path, surface.id))
    assert store.read(path).complete
    assert (store.read(path).finished or "").startswith("20")


def test_writing_and_finishing_leave_the_structure_alone(tmp_path: Path) -> None:
    path = make(tmp_path / "s.h5")
    size = path.stat().st_size
    file = store.SurfaceFile(path, METRICS)
    for row in range(3):
        file.write(results(Work(row, 0, 5), np.ones((5, 3))), rank=0)
    file.close()
    store.finish(store.identify(path, ""), rounding={"precision": "tf32", "points": [[0, 0]], "largest": {}})
    assert path.stat().st_size == size


def test_other_tools_read_it(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    netcdf = pytest.importorskip("netCDF4")
    path = make(tmp_path / "s.h5")
    file = store.SurfaceFile(path, METRICS)
    file.write(results(Work(2, 4, 5), np.array([[9.0, 0.5, 0.1]])), rank=0)
    file.close()
    with xarray.open_dataset(path, engine="h5netcdf", phony_dims="access") as dataset:
        assert float(dataset["train_loss"].sel(beta=2.0, alpha=1.0)) == 9.0
        assert dataset["train_loss"].dims == ("beta", "alpha")
    with netcdf.Dataset(path) as dataset:
        assert dataset["train_loss"].dimensions == ("beta", "alpha")
        assert float(dataset["train_loss"][2, 4]) == 9.0


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    path = make(tmp_path / "s.h5")
    before = path.read_bytes()
    with pytest.raises(InputError, match="appeared"):
        make(path)
    assert path.read_bytes() == before
    store.create(path, LINE, METRICS, config={}, provenance={}, overwrite=True)
    assert store.read(path).is_line
    assert [p.name for p in tmp_path.iterdir()] == ["s.h5"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot make"):
        make(tmp_path / "absent" / "s.h5")


@pytest.mark.parametrize("cut", [0, 100, 1500, -300])
def test_damaged_files_are_refused_not_crashed_on(tmp_path: Path, cut: int) -> None:
    path = make(tmp_path / "s.h5")
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    with pytest.raises(InputError, match=r"s\.h5 is not a surface file or is damaged"):
        store.read(path)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        store.read(tmp_path / "absent.h5")
    with pytest.raises(InputError, match="not a file"):
        store.read(tmp_path)
    text = tmp_path / "text.h5"
    text.write_text("no HDF5")
    with pytest.raises(InputError, match="not a surface file"):
        store.read(text)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="not a lossgrid surface"):
        store.read(other)
    newer = make(tmp_path / "newer.h5")
    with h5py.File(newer, "r+") as file:
        file.attrs["format_version"] = 3
    with pytest.raises(InputError, match="format version 3, this lossgrid reads 1 to 2"):
        store.read(newer)
    misshapen = make(tmp_path / "misshapen.h5")
    with h5py.File(misshapen, "r+") as file:
        del file["status"]
        file["status"] = np.zeros((5, 3), np.uint8)
    with pytest.raises(InputError, match="damaged"):
        store.read(misshapen)


def test_unknown_metrics_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'test_loss'; it has train_loss, train_accuracy"):
        store.read(make(tmp_path / "s.h5"))["test_loss"]


def test_the_lock_is_held_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    with locked(path):
        with pytest.raises(InputError, match=f"in use by process {os.getpid()}"), locked(path):
            pass
        assert (tmp_path / "s.h5.lock").exists()
    with locked(path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    program = (
        "import sys, os, signal\nfrom pathlib import Path\nfrom lossgrid.files.lock import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {child.pid} on"), locked(path):
            pass
        child.kill()
        child.wait()
    assert (tmp_path / "s.h5.lock").exists()  # what a killed job leaves behind is no obstacle
    with locked(path):
        pass
    assert not (tmp_path / "s.h5.lock").exists()


def test_sessions_are_noted_without_touching_the_structure(tmp_path: Path) -> None:
    path = make(tmp_path / "s.h5")
    size = path.stat().st_size
    store.begin_session(path, ranks=3)
    (running,) = store.read(path).sessions
    assert (running.ranks, running.seconds) == (3, None)
    assert running.began == pytest.approx(time.time(), abs=60)
    store.end_session(path, seconds=12.5)
    store.begin_session(path, ranks=3)
    store.end_session(path, seconds=0.5)
    assert sum(seconds_of(store.read(path).sessions, rank) or 0 for rank in range(4)) == 3 * 13.0
    assert path.stat().st_size == size


def test_a_file_without_sessions_is_read_and_stays_as_it_is(tmp_path: Path) -> None:
    path = make(tmp_path / "s.h5")
    with h5py.File(path, "r+") as file:
        del file.attrs["sessions"]
    store.begin_session(path, ranks=2)
    assert store.read(path).sessions == ()


def test_a_write_that_fails_names_the_file_and_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "s.h5")
    file = store.SurfaceFile(path, METRICS)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file, "_write", full)
    with pytest.raises(RankError, match=r"cannot write .*s\.h5: .*No space left on device"):
        file.write(results(Work(0, 0, 1), np.zeros((1, len(METRICS) + 1))), rank=0)
    file.close()


def test_a_file_that_is_gone_is_noticed_but_not_looked_for_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "s.h5")
    file = store.SurfaceFile(path, METRICS)
    path.rename(tmp_path / "t.h5")
    file.look()  # too soon after the last look
    monkeypatch.setattr("lossgrid.store.writer.LOOK_SECONDS", 0.0)
    with pytest.raises(RankError, match="was moved or deleted"):
        file.look()
    (tmp_path / "t.h5").rename(path)
    file.look()
    file.close()


def test_a_surface_in_use_is_told_from_one_whose_run_has_gone(tmp_path: Path) -> None:
    path = make(tmp_path / "s.h5")
    assert not in_use(path)
    with locked(path):
        assert in_use(path)
    assert not in_use(path)
    path.with_name("s.h5.lock").touch()  # left by a run that was killed
    assert not in_use(path)
