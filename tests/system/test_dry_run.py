"""lossgrid run --dry-run: figures that are right, nothing that is written, exit codes of a run."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from lossgrid.check import rehearsal
from lossgrid.check.forecast import Forecast
from lossgrid.files import locked
from lossgrid.machine.finding import error
from lossgrid.surface import Axis, Grid, quantity
from tests.system.conftest import Inside

pytestmark = pytest.mark.beside

RUN = ("--model", "users:net", "--data", "users:pictures", "--splits", "train,test", "--alpha", "-1:1:5")


def rows(said: str) -> dict[str, tuple[str, str]]:
    """Return label -> where its figure comes from, and its text; of rows of one label the first."""
    found: dict[str, tuple[str, str]] = {}
    for line in said.splitlines():
        match = re.match(r"(\w+) +(found|measured|computed|unknown) +(.*)", line)
        if match:
            found.setdefault(match[1], (match[2], match[3]))
    return found


def nothing_changes(folder: Path) -> list[tuple[str, bytes, int]]:
    return [(path.name, path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.glob("*"))]


def test_every_figure_says_where_it_comes_from_and_nothing_is_written(inside: Inside, tmp_path: Path) -> None:
    done = inside("run", "--dry-run", *RUN, "--beta", "-1:1:3", "--save-directions", "d.h5", "--plot")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    found = rows(done.stdout)
    expected = "network data grid device centre start sample point time memory file"
    assert list(found) == expected.split()
    assert found["grid"] == ("found", "3 x 5 = 15 points, all to be computed")
    assert found["data"][1].startswith("train 60, test 60 samples")
    assert found["network"][1].endswith("1,494 parameters, 1,476 numbers move")
    assert max(map(len, done.stdout.splitlines())) <= 112
    assert done.stdout.splitlines()[0] == "dry run: nothing is computed or written"


def test_a_point_costs_what_its_batches_cost(start: Any) -> None:
    """The loss sleeps for 50 ms in each batch: three batches of each of two splits."""
    line = ("run", "--dry-run", *RUN, "--loss", "users:slow_loss", "--batch-size", "20", "--variant", "plain")
    done = start(0, "lossgrid", *line, env={"SECONDS_PER_POINT": "0.05"})  # its start is that of a process
    basis, told = rows(done.stdout)["point"]
    assert (basis, told.partition(" for ")[2]) == ("computed", "120 samples")
    assert 0.3 <= float(told.split()[0]) < 0.6
    times = dict(re.findall(r"(\d+) ranks? ([\d.]+) s", rows(done.stdout)["time"][1]))
    assert set(times) == {"1", "4"}
    start = float(rows(done.stdout)["start"][1].split()[0])
    assert float(times["1"]) == pytest.approx(start + 5 * float(told.split()[0]), abs=0.6)


def test_a_file_has_the_size_that_was_told(inside: Inside, tmp_path: Path) -> None:
    grid = ("--beta", "-1:1:40", "--alpha", "-1:1:50")
    told = rows(inside("run", "--dry-run", *RUN[:-2], *grid).stdout)["file"][1]
    expected = int(told.split()[0].replace(",", ""))
    assert inside("run", *RUN[:-2], *grid, "--time-limit", "1000").returncode == 0
    size = (tmp_path / "surface.h5").stat().st_size
    assert expected < size < expected + 40_000


def test_a_file_to_resume_is_read_and_left_as_it_is(inside: Inside, tmp_path: Path) -> None:
    assert inside("run", *RUN).returncode == 0
    before = nothing_changes(tmp_path)
    done = inside("run", "--dry-run", *RUN)
    assert rows(done.stdout)["grid"][1] == "5 = 5 points, complete"
    assert "time" not in rows(done.stdout)
    line = ("run", *RUN, "--seed", "3")
    refused, of_run = inside(*line, "--dry-run"), inside(*line)
    assert refused.returncode == of_run.returncode == 2
    assert refused.stderr == of_run.stderr
    with locked(tmp_path / "surface.h5"):
        in_use = inside("run", "--dry-run", *RUN)
    assert in_use.returncode == 2
    assert "is in use by a run" in in_use.stderr
    assert nothing_changes(tmp_path) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="NOT RUN: there is a GPU here")
@pytest.mark.parametrize("options", [("--device", "cuda"), ("--precision", "tf32", "--variant", "fused")])
def test_a_login_node_without_gpu_says_what_it_cannot_know(inside: Inside, options: tuple[str, ...]) -> None:
    done = inside("run", "--dry-run", *RUN, *options, "--tolerance", "0.01")
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert not {"sample", "point", "time"} & set(found)
    assert "--tolerance 0.01 leaves out" in found["grid"][1]
    text = " ".join(done.stdout.split())
    assert "unknown seconds and memory: this run is for a GPU, and there is none here" in text
    assert ("the rounding error of --precision tf32" in text) == ("tf32" in options)
    assert "a rank on a GPU, and its batches besides" in text


def test_bad_input_is_that_of_a_run(inside: Inside, tmp_path: Path) -> None:
    for options in (("--model", "resnet21"), (*RUN, "--checkpoint", "absent.pt"), (*RUN, "--out", "absent/s.h5")):
        dry, wet = inside("run", "--dry-run", *options), inside("run", *options)
        assert dry.returncode == wet.returncode == 2
        assert dry.stderr.splitlines()[-1] == wet.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_check_finds_fails(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "about_software", lambda *given, **more: [error("two MPIs", "take one")])
    done = inside("run", "--dry-run", *RUN)
    assert done.returncode == 1
    assert "ERROR: two MPIs." in done.stdout
    assert done.stdout.splitlines()[-1] == "1 error: not fit for runs"


@pytest.mark.any_mpi
def test_ranks_measure_at_once(start: Any, tmp_path: Path) -> None:
    done = start(2, "lossgrid", "run", "--dry-run", *RUN)
    assert done.returncode == 0, done.stderr
    assert "2 ranks at once" in rows(done.stdout)["sample"][1]
    assert list(tmp_path.iterdir()) == []


def test_ranks_of_different_speed_share_the_points() -> None:
    """One rank of 1 ms and one of 3 ms a sample do four samples in 3 ms: as two of 1.5 ms."""
    forecast = Forecast(
        network="net", parameters=2, moved=1, data={"train": 1000}, where="here",
        grid=Grid(Axis(-1.0, 1.0, 5)), pending=5, tolerance=None, device="cpu", recipe="plain",
        quantities=[quantity.loss("train", "nats per sample")],
        values=[1.0], errors=[0.1], seconds=[0.001, 0.003], slowest=0.01, start=10.0, peak=0,
    )  # fmt: skip
    assert forecast.point_seconds == pytest.approx(1.5)
    assert forecast.seconds_with(1) == pytest.approx(10 + 5 * 1.5)
    assert forecast.seconds_with(4) == pytest.approx(10 + 2 * 1.5)
