"""Files of version 1, as they were written before there was a version 2: read, drawn, compared, merged, gone on with.

Made by commit b05facc; ``half.h5`` is what a stop leaves. Other processors may give other last bits.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossgrid import store
from tests.conftest import ROOT
from tests.families import further
from tests.system.conftest import Inside

pytestmark = pytest.mark.beside

MADE = ROOT / "tests" / "data" / "version1"
RUN = ("--model", "users:net", "--data", "users:pictures", "--seed", "3", "--batch-size", "20")
WHOLE = ("--alpha=-1:1:5", "--splits", "train,test", "--out", "whole.h5")
HALF = ("--alpha=-1:1:5", "--beta=-0.5:0.5:5", "--out", "half.h5")


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    for name in ("whole.h5", "half.h5"):
        shutil.copy(MADE / name, tmp_path)


@pytest.mark.parametrize("ranks", [further(0), further(2), 3])
def test_a_run_goes_on_with_one_in_its_directions(start: Any, inside: Inside, tmp_path: Path, ranks: int) -> None:
    before = store.read(tmp_path / "half.h5")
    assert (before.done, before.pending) == (15, 10)
    done = start(ranks, "lossgrid", "run", *RUN, *HALF)
    assert done.returncode == 0, done.stderr
    after = store.read(tmp_path / "half.h5")
    assert after.complete
    for name in before.quantities:
        np.testing.assert_array_equal(after[name][:3], before[name][:3])
    anew = inside("run", *RUN, *HALF[:2], "--out", "anew.h5", "--direction-version", "1", "--model-seed", "3")
    assert anew.returncode == 0, anew.stderr
    for name in before.quantities:
        np.testing.assert_allclose(after[name], store.read(tmp_path / "anew.h5")[name], rtol=1e-5)


def test_a_whole_one_is_recognised_and_another_run_refused(inside: Inside, tmp_path: Path) -> None:
    content = (tmp_path / "whole.h5").read_bytes()
    done = inside("run", *RUN, *WHOLE)
    assert done.returncode == 0, done.stderr
    assert "0 of 5 points are pending" in done.stderr
    other = inside("run", *RUN, *WHOLE, "--direction-version", "2")
    assert other.returncode == 2
    assert "direction-version is 1 there and 2 now" in other.stderr
    assert (tmp_path / "whole.h5").read_bytes() == content


def test_every_verb_reads_them(inside: Inside, tmp_path: Path) -> None:
    for command in (
        ("status", "whole.h5"), ("status", "half.h5"), ("plot", "whole.h5"), ("plot", "half.h5"),
        ("compare", "whole.h5", "whole.h5", "--json"), ("export", "whole.h5", "--to", "csv"),
        ("export", "half.h5", "--to", "vtk"), ("export", "whole.h5", "--to", "xdmf"),
        ("export", "whole.h5", "--to", "loss-landscape"), ("merge", "whole.h5", "whole.h5", "--out", "merged.h5"),
    ):  # fmt: skip
        done = inside(*command)
        assert done.returncode == 0, (command, done.stderr)
    merged = store.read(tmp_path / "merged.h5")
    assert list(merged.quantities) == list(store.read(tmp_path / "whole.h5").quantities)
    assert merged.quantities["test_accuracy"].better == "higher"
