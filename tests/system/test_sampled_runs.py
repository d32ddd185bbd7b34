"""Runs with estimates on fewer samples: the same file from any ranks and after kills, and what reads it."""

from __future__ import annotations

import csv
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lossgrid
from lossgrid import store
from lossgrid.surface import INTERPOLATED, Surface
from tests.conftest import launch, need_writer
from tests.families import family, further
from tests.pace import soon
from tests.system.conftest import Inside, running

PLANE = ("--model", "mlp", "--model-seed", "3", "--alpha", "-1:1:25", "--beta", "-0.5:0.5:18")
SAMPLED = (*PLANE, "--tolerance", "0.02", "--samples", "100")
SECONDS_TO_END = 120


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("surfaces")

    def start(name: str, *options: str) -> Surface:
        done = launch(0, "lossgrid", "run", *options, "--out", folder / name, cwd=folder)
        assert done.returncode == 0, done.stderr
        return store.read(folder / name)

    return start


@pytest.fixture(scope="module")
def full(started: Any) -> Surface:
    """Return the surface of all samples at all points."""
    return started("full.h5", *PLANE)


@pytest.fixture(scope="module")
def sampled(started: Any) -> Surface:
    """Return the surface of one process with estimates."""
    return started("sampled.h5", *SAMPLED)


def assert_same(one: Surface, other: Surface) -> None:
    np.testing.assert_array_equal(one.status, other.status)
    for name in one.quantities:
        np.testing.assert_array_equal(one[name], other[name])
        np.testing.assert_array_equal(one.bars[name], other.bars[name])
        np.testing.assert_array_equal(one.sampled[name], other.sampled[name])
    assert one.refinement == other.refinement
    assert other.complete


@pytest.mark.beside
def test_estimates_are_within_what_the_file_tells(full: Surface, sampled: Surface) -> None:
    between = sampled.status == INTERPOLATED
    assert between.any()
    for name in full.quantities:
        np.testing.assert_array_equal(sampled[name][~between], full[name][~between])
    assert (sampled.rank >= 0).sum() == (~np.isnan(sampled.seconds)).sum() > np.count_nonzero(~between)
    told = sampled.refinement
    assert told is not None
    assert told.samples == 100
    assert told.sampled == np.count_nonzero(between & ~np.isnan(sampled.sampled["train_loss"])) > 0
    assert 0 < told.work < 1
    span = np.log(full["train_loss"].max() / full["train_loss"].min())
    off = np.abs(np.log(sampled["train_loss"] / full["train_loss"]))[between]
    if full["train_loss"].max() < 30 * full["train_loss"].min():
        span = np.ptp(full["train_loss"])
        off = np.abs(sampled["train_loss"] - full["train_loss"])[between]
    assert np.mean(off > 0.02 * span) <= 0.05
    within = np.abs(sampled["train_loss"] - full["train_loss"])[between] <= sampled.bars["train_loss"][between]
    assert within.mean() > 0.85


@pytest.mark.beside
@pytest.mark.parametrize(
    ("ranks", "writer"),
    family(
        (1, 2, 3, 7), ("parallel", "root"),
        full=[(1, "root"), (2, "parallel"), (3, "parallel"), (3, "root")], any_mpi=[(3, "root")],
    ),
)  # fmt: skip
def test_any_number_of_ranks_makes_the_same_file(
    start: Any, out: Path, sampled: Surface, ranks: int, writer: str
) -> None:
    need_writer(writer)
    done = start(ranks, "lossgrid", "run", *SAMPLED, "--writer", writer)
    assert done.returncode == 0, done.stderr
    assert_same(sampled, store.read(out))


@pytest.mark.parametrize(("ranks", "kills"), [(3, 4), further(0, 10), further(3, 10)])
def test_kills_cost_nothing_but_time(
    start: Any, out: Path, sampled: Surface, chance: random.Random, ranks: int, kills: int
) -> None:
    for _ in range(kills):
        if out.exists() and store.read(out).complete:
            break
        with running(ranks, "lossgrid", "run", *SAMPLED, cwd=out.parent) as job:
            try:
                job.wait(timeout=chance.uniform(2, 6))
            except Exception:  # it is still running: that is what the kill is for
                os.killpg(job.pid, signal.SIGKILL)
            job.communicate(timeout=soon(SECONDS_TO_END))
    done = start(ranks, "lossgrid", "run", *SAMPLED)
    assert done.returncode == 0, done.stderr
    found = store.read(out)
    np.testing.assert_array_equal(found.status, sampled.status)
    np.testing.assert_array_equal(found["train_loss"], sampled["train_loss"])


@pytest.mark.beside
def test_other_samples_and_none_go_on_with_the_file(inside: Inside, out: Path, full: Surface, sampled: Surface) -> None:
    assert inside("run", *SAMPLED).returncode == 0
    assert inside("run", *PLANE, "--tolerance", "0.01", "--samples", "200").returncode == 0
    other = store.read(out)
    assert other.refinement is not None
    assert other.refinement.samples == 200
    assert other.computed[sampled.computed].all()
    both = ~np.isnan(other.sampled["train_loss"]) & ~np.isnan(sampled.sampled["train_loss"])
    assert (other.sampled["train_loss"] != sampled.sampled["train_loss"])[both].all()
    assert inside("run", *PLANE).returncode == 0
    whole = store.read(out)
    for name in full.quantities:
        np.testing.assert_array_equal(whole[name], full[name])
    assert whole.done == whole.status.size


@pytest.mark.beside
def test_what_reads_surfaces_reads_estimates(inside: Inside, out: Path, sampled: Surface) -> None:
    path = sampled.path
    assert path is not None
    done = inside("status", str(path))
    assert "of them between values on 100 samples, for" in done.stdout
    assert inside("export", str(path), "--to", "csv", "--out", "s.csv").returncode == 0
    with (out.parent / "s.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    estimates = [float(row["train_loss_sampled"]) if row["train_loss_sampled"] else np.nan for row in rows]
    np.testing.assert_array_equal(estimates, sampled.sampled["train_loss"].ravel())
    assert inside("plot", str(path), "--kind", "heat", "--points", "--out", "p.png").returncode == 0
    assert inside("compare", str(path)).returncode == 0


@pytest.mark.beside
@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--samples", "100"], "--samples needs --tolerance X, how far estimates may be off; such as --tolerance 0.01"),
        (["--samples", "100", "--tolerance", "0"], "--samples needs --tolerance X"),
        (["--samples", "0", "--tolerance", "0.1"], "--samples"),
        (["--samples", "x", "--tolerance", "0.1"], "--samples"),
    ],
)
def test_samples_that_cannot_be_are_refused(inside: Inside, out: Path, options: list[str], text: str) -> None:
    done = inside("run", *PLANE, *options)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert not out.exists()


@pytest.mark.beside
def test_more_samples_than_there_are_is_a_run_of_all(inside: Inside, out: Path, full: Surface) -> None:
    done = inside("run", *PLANE, "--tolerance", "0.05", "--samples", "1000000")
    assert done.returncode == 0, done.stderr
    found = store.read(out)
    for name in full.quantities:
        known = ~np.isnan(found.sampled[name])
        np.testing.assert_array_equal(found.sampled[name][known], full[name][known])


@pytest.mark.beside
def test_from_python_too(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 30), torch.nn.ReLU(), torch.nn.Linear(30, 3))
    data = torch.randn(600, 5), torch.arange(600) % 3
    found = lossgrid.evaluate(model, data, alpha="-1:1:41", beta="-1:1:41", tolerance=0.02, samples=100)
    assert found.refinement is not None
    assert found.refinement.samples == 100
    whole = lossgrid.evaluate(model, data, alpha="-1:1:41", beta="-1:1:41")
    computed = found.computed
    np.testing.assert_array_equal(found["train_loss"][computed], whole["train_loss"][computed])
