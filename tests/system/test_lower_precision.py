"""A precision that is chosen is the same on all ranks, and the file the same for any number of them."""

import sys
from pathlib import Path

import numpy as np
import pytest

from lossgrid import store
from tests.conftest import launch
from tests.families import further

# Short runs try bfloat16 too, on a machine where only rank 0 finds it faster.
PROGRAM = """
from lossgrid import parallel
from lossgrid.cli.app import main
from lossgrid.run import lower, recipe

recipe.TUNED_FROM = 0.0
rank = parallel.join().rank
faster = 0.5 if rank == 0 else 2.0
lower.seconds_in_turns = lambda evaluator, networks: [1.0 if evaluator.device.precision == "float32" else faster]
main()
"""
RUN = (
    "run", "--model", "mlp", "--max-samples", "100", "--alpha", "-1:1:17", "--beta", "-1:1:17",
    "--batch-size", "50", "--variant", "plain", "--device", "cpu", "--tolerance",
)  # fmt: skip


@pytest.mark.parametrize("ranks", [further(2), 3])
@pytest.mark.parametrize(("tolerance", "precision"), [("0.2", "bfloat16"), ("0.0001", "float32")])
def test_all_ranks_choose_alike(tmp_path: Path, ranks: int, tolerance: str, precision: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    found = []
    for count in (1, ranks):
        out = tmp_path / f"{count}.h5"
        done = launch(count, sys.executable, program, *RUN, tolerance, "--out", out, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found.append(store.read(out))
    alone, shared = found
    assert [one.origin.setting("precision") for one in found] == [precision] * 2, done.stderr
    np.testing.assert_array_equal(alone.status, shared.status)
    np.testing.assert_array_equal(alone["train_loss"], shared["train_loss"])
    assert alone.rounding == shared.rounding
    assert alone.refinement == shared.refinement
