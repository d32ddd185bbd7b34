"""Samples of different length in a DataLoader, from the command line: alone, by three ranks, resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lossgrid import store
from lossgrid.surface import PENDING
from tests.conftest import need_writer
from tests.families import further
from tests.programs.ragged import Tagger, loss_of, loss_of_words, rows, trained
from tests.system.conftest import assert_same_bytes

pytestmark = pytest.mark.beside

RUN = ("lossgrid", "run", "--model", "ragged:trained", "--data", "ragged:loader", "--splits", "train,test")
LINE = ("--alpha", "-1:1:11", "--beta", "0:1:3")


@pytest.mark.parametrize("writer", ["parallel", further("root")])
def test_ragged_samples_have_the_same_bits_for_any_number_of_ranks(start: Any, tmp_path: Path, writer: str) -> None:
    need_writer(writer)
    alone = start(0, *RUN, *LINE, "--out", "alone.h5")
    assert alone.returncode == 0, alone.stderr
    command = (*RUN, *LINE, "--out", "ranks.h5", "--writer", writer)
    done = start(3, *command)
    assert done.returncode == 0, done.stderr
    assert_same_bytes(tmp_path / "alone.h5", tmp_path / "ranks.h5")
    surface = store.read(tmp_path / "ranks.h5")
    for split in ("train", "test"):
        loss, accuracy = loss_of(trained(), rows(split))
        assert surface[f"{split}_loss"][0, 5] == pytest.approx(loss, rel=1e-6)
        assert surface[f"{split}_accuracy"][0, 5] == pytest.approx(accuracy, rel=1e-12)

    with h5py.File(tmp_path / "ranks.h5", "r+") as file:
        file["status"][:, ::2] = PENDING
        file["train_loss"][:, ::2] = np.nan
        file.attrs["complete"] = 0
    again = start(3, *command)
    assert again.returncode == 0, again.stderr
    assert "resuming ranks.h5" in again.stderr
    assert_same_bytes(tmp_path / "alone.h5", tmp_path / "ranks.h5")


def test_words_that_count_are_a_loss_of_total_and_weight(start: Any, tmp_path: Path) -> None:
    own = ("--data-arg", "kind=tagged", "--loss", "ragged:counted", "--alpha", "0:1:2", "--out", "s.h5")
    done = start(3, *RUN[:3], "ragged:Tagger", "--data", "ragged:loader", *own, "--model-seed", "3")
    assert done.returncode == 0, done.stderr
    found = store.read(tmp_path / "s.h5")["train_loss"][0]
    assert found == pytest.approx(loss_of_words(trained(Tagger), rows()), rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        further(
            "shuffled", "the DataLoader gives its samples in random order; give it shuffle=False, or give its .dataset"
        ),
        further("unpadded", "of different shape: (2,) and (3,) (sample 1); pad them, or give collate_fn"),
        further("endless", "a Flow has no length; give --max-samples N, or a list of its samples"),
        ("splits", "expected the samples of one split, got a dict without tensors of train, test"),
    ],
)
def test_what_cannot_be_read_is_one_line_of_all_ranks(start: Any, tmp_path: Path, kind: str, words: str) -> None:
    done = start(3, *RUN, *LINE, "--out", "s.h5", "--data-arg", f"kind={kind}")
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert "data function ragged:loader for split 'train': " in line
    assert words in line
    assert not (tmp_path / "s.h5").exists()
