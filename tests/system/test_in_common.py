"""What a node holds once: the same bits as of a rank alone, read by one rank of the node."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.families import family
from tests.system.conftest import assert_same_bytes

pytestmark = pytest.mark.beside
SAMPLES, IN_DIGEST = 400, 256
RUN = ("lossgrid", "run", "--alpha", "-1:1:5", "--beta", "0:1:2", "--seed", "5", "--batch-size", "50")


@pytest.mark.parametrize(
    ("data", "model", "ranks"),
    family(
        ("noted_pictures", "noted_samples"), ("net", "in_place"), (2, 3, 4),
        full=[("noted_pictures", "in_place", 3), ("noted_samples", "net", 2)],
        any_mpi=[("noted_samples", "net", 2)],
    ),
)  # fmt: skip
def test_data_are_read_by_one_rank_of_a_node_and_have_the_same_bits(
    start: Any, tmp_path: Path, data: str, model: str, ranks: int
) -> None:
    what = ("--data", f"users:{data}", "--model", f"users:{model}")
    notes: dict[int, Counter[str]] = {}
    for number in (0, ranks):
        file = tmp_path / f"notes_{number}"
        done = start(number, *RUN, *what, "--out", f"{number}.h5", env={"NOTES": str(file)})
        assert done.returncode == 0, done.stderr
        notes[number] = Counter(file.read_text().splitlines())
    assert_same_bytes(tmp_path / "0.h5", tmp_path / f"{ranks}.h5")
    if data == "noted_pictures":
        assert notes[0] == notes[ranks] == {"0 read": 1}
        return
    assert notes[0]["0 sample"] >= notes[ranks]["0 sample"] >= SAMPLES + IN_DIGEST
    for rank in range(1, ranks):
        assert IN_DIGEST <= notes[ranks][f"{rank} sample"] < SAMPLES
