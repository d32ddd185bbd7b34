"""Runs with a tolerance: the same file from any number of ranks and after any interruption, and what reads it."""

from __future__ import annotations

import math
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lossgrid
from lossgrid import store
from lossgrid.surface import INTERPOLATED, PENDING, Surface
from tests.conftest import need_writer
from tests.families import family, further
from tests.pace import soon
from tests.system.conftest import Inside, running, seconds_to_start

PLANE = ("--model", "users:net", "--data", "users:pictures", "--alpha", "-1:1:33", "--beta", "-0.5:0.5:26")
REFINED = (*PLANE, "--tolerance", "0.02")
SECONDS_TO_END = 120


@pytest.fixture(scope="module")
def full(start_in_module: Any) -> Surface:
    """Return the surface without a tolerance."""
    return start_in_module("full.h5", *PLANE)


@pytest.fixture(scope="module")
def refined(start_in_module: Any) -> Surface:
    """Return the surface of one process with a tolerance."""
    return start_in_module("refined.h5", *REFINED)


@pytest.fixture(scope="module")
def start_in_module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from tests.conftest import launch

    folder = tmp_path_factory.mktemp("surfaces")

    def started(name: str, *options: str) -> Surface:
        done = launch(0, "lossgrid", "run", *options, "--out", folder / name, cwd=folder)
        assert done.returncode == 0, done.stderr
        return store.read(folder / name)

    return started


def assert_same(one: Surface, other: Surface) -> None:
    for name in one.quantities:
        np.testing.assert_array_equal(one[name], other[name])
        np.testing.assert_array_equal(one.bars[name], other.bars[name])
        np.testing.assert_array_equal(one.errors[name], other.errors[name])
    np.testing.assert_array_equal(one.status, other.status)
    np.testing.assert_array_equal(one.level, other.level)
    assert one.refinement == other.refinement
    assert one.complete
    assert other.complete


@pytest.mark.beside
def test_interpolated_values_are_within_what_the_file_tells(full: Surface, refined: Surface) -> None:
    interpolated = refined.status == INTERPOLATED
    assert 0 < refined.done < 0.6 * refined.status.size
    np.testing.assert_array_equal(refined["train_loss"][~interpolated], full["train_loss"][~interpolated])
    span = np.ptp(full["train_loss"])
    assert full["train_loss"].max() < 30 * full["train_loss"].min()  # colours are linear
    wrong = np.abs(refined["train_loss"] - full["train_loss"])[interpolated] > 0.02 * span
    assert refined.refinement is not None
    assert np.count_nonzero(wrong) <= refined.refinement.most_wrong["train_loss"]
    assert np.isnan(refined.seconds[interpolated]).all()
    assert (refined.rank[interpolated] == -1).all()
    assert np.isnan(refined.errors["train_loss"][interpolated]).all()


@pytest.mark.beside
@pytest.mark.parametrize(
    ("ranks", "writer"),
    family(
        (1, 2, 3, 7), ("parallel", "root"),
        full=[(1, "root"), (2, "parallel"), (3, "parallel"), (3, "root")], any_mpi=[(3, "parallel")],
    ),
)  # fmt: skip
def test_any_number_of_ranks_makes_the_same_file(
    start: Any, out: Path, refined: Surface, ranks: int, writer: str
) -> None:
    need_writer(writer)
    done = start(ranks, "lossgrid", "run", *REFINED, "--writer", writer)
    assert done.returncode == 0, done.stderr
    assert_same(store.read(out), refined)


@pytest.mark.parametrize(("ranks", "kills"), [(3, 4), further(0, 10), further(3, 10)])
def test_kills_cost_nothing_but_time(start: Any, out: Path, refined: Surface, ranks: int, kills: int) -> None:
    chance = random.Random(ranks)
    slow = (*REFINED, "--loss", "users:slow_loss")
    for _ in range(kills):
        with running(ranks, "lossgrid", "run", *slow, cwd=out.parent, env={"SECONDS_PER_POINT": "0.01"}) as job:
            try:
                job.wait(timeout=chance.uniform(2, 6))
            except Exception:  # it is still running: that is what the kill is for
                os.killpg(job.pid, signal.SIGKILL)
            job.communicate(timeout=soon(SECONDS_TO_END))
    done = start(ranks, "lossgrid", "run", *slow, env={"SECONDS_PER_POINT": "0"})
    assert done.returncode == 0, done.stderr
    found = store.read(out)
    np.testing.assert_array_equal(found.status, refined.status)
    np.testing.assert_array_equal(found["train_loss"], refined["train_loss"])


def test_a_time_limit_leaves_the_best_picture_so_far(start: Any, out: Path, refined: Surface) -> None:
    slow = (*REFINED, "--loss", "users:slow_loss")
    limit = 6 + math.ceil(seconds_to_start(0, out.parent))
    done = start(0, "lossgrid", "run", *slow, "--time-limit", limit, env={"SECONDS_PER_POINT": "0.1"})
    assert done.returncode == 75, done.stderr
    found = store.read(out)
    assert not found.complete
    assert found.interpolated
    assert not np.isnan(found["train_loss"]).any()
    assert not (found.status == PENDING).any()
    assert found.refinement is not None
    assert not found.refinement.most_wrong
    assert "no audit has taken place" in done.stderr
    done = start(0, "lossgrid", "run", *slow, env={"SECONDS_PER_POINT": "0"})
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(store.read(out).status, refined.status)


@pytest.mark.beside
def test_a_smaller_tolerance_and_none_go_on_with_the_file(
    inside: Inside, out: Path, full: Surface, refined: Surface
) -> None:
    for tolerance in (0.05, 0.02, 0.005):
        done = inside("run", *PLANE, "--tolerance", str(tolerance))
        assert done.returncode == 0, done.stderr
    fine = store.read(out)
    assert fine.done > refined.done
    done = inside("run", *PLANE, "--tolerance", "0.02")
    assert done.returncode == 0, done.stderr
    assert store.read(out).done == fine.done
    done = inside("run", *PLANE)
    assert done.returncode == 0, done.stderr
    whole = store.read(out)
    assert whole.complete
    for name in full.quantities:
        np.testing.assert_array_equal(whole[name], full[name])
    np.testing.assert_array_equal(whole.status, full.status)


@pytest.mark.beside
def test_a_tolerance_of_zero_is_the_plain_run(inside: Inside, out: Path, full: Surface) -> None:
    done = inside("run", *PLANE, "--tolerance", "0")
    assert done.returncode == 0, done.stderr
    found = store.read(out)
    assert found.refinement is None
    for name in full.quantities:
        np.testing.assert_array_equal(found[name], full[name])


@pytest.mark.beside
def test_what_reads_surfaces_reads_refined_ones(inside: Inside, out: Path, refined: Surface) -> None:
    path = refined.path
    assert path is not None
    done = inside("status", path)
    assert "% of the work; with 95 % confidence at most" in done.stdout + done.stderr
    pictures = {"plot": "plot.png", "compare": "compare.png"}
    for verb, name in pictures.items():
        done = inside(verb, path, "--out", out.with_name(name))
        assert done.returncode == 0, done.stderr
    for form, ending in (("csv", "csv"), ("vtk", "vtp"), ("loss-landscape", "h5")):
        done = inside("export", path, "--to", form, "--out", out.with_name(f"export.{ending}"))
        assert done.returncode == 0, done.stderr
    assert "interpolated" in out.with_name("export.csv").read_text()
    done = inside("merge", path, path, "--out", out)
    assert done.returncode == 0, done.stderr
    assert store.read(out).pending == refined.interpolated  # only what was computed is merged


@pytest.mark.beside
def test_from_python_too(refined: Surface) -> None:
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    data = (torch.randn(30, 4), torch.arange(30) % 3)
    surface = lossgrid.evaluate(model, data, alpha="-1:1:41", beta="-1:1:41", tolerance=0.02)
    assert surface.interpolated
    assert surface.refinement is not None
    assert surface.to_xarray()["train_loss_bar"].shape == (41, 41)
    assert refined.refinement is not None
