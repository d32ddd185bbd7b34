"""The paper authors' own networks and directions, on all test pictures: the values of independent code, to all digits.

The pictures are those of a JPEG copy of CIFAR-10, on which accuracies are lower than on the original.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossgrid import store
from tests.families import further

pytestmark = pytest.mark.beside

# network -> test loss and accuracy, float32, measured by independent code too
PUBLISHED = {"resnet56": (0.771870, 0.8415), "resnet56_noshort": (0.832975, 0.7570)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the test pictures in the data set's own binary layout."""
    from tests.conftest import SHARED

    archive_path = SHARED / "cifar10" / "cifar10_jpeg.npz"
    if not archive_path.is_file():
        pytest.skip(f"NOT RUN: needs the real data in {SHARED}")
    from PIL import Image

    folder = tmp_path_factory.mktemp("cifar10")
    (folder / "cifar-10-batches-bin").mkdir()
    with np.load(archive_path) as archive:
        content, ends, labels = archive["test_jpeg"].tobytes(), archive["test_offsets"], archive["test_labels"]
    records = np.empty((len(labels), 3073), dtype=np.uint8)
    records[:, 0] = labels
    for i in range(len(labels)):
        picture = Image.open(io.BytesIO(content[ends[i] : ends[i + 1]])).convert("RGB")
        records[i, 1:] = np.asarray(picture).transpose(2, 0, 1).reshape(-1)
    (folder / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(records.tobytes())
    return folder


def run(shared: Path, pictures: Path, network: str) -> tuple[object, ...]:
    return (
        "lossgrid", "run", "--model", network, "--checkpoint", shared / "checkpoints" / "paper" / f"{network}.t7",
        "--directions", shared / "directions" / f"dir_{network}.h5", "--data", f"cifar10:{pictures}",
        "--splits", "test",
    )  # fmt: skip


@pytest.mark.timeout(900)
@pytest.mark.parametrize("network", ["resnet56", further("resnet56_noshort")])
def test_their_loss_and_accuracy_are_those_of_independent_code(
    start: Any, shared: Path, pictures: Path, tmp_path: Path, network: str
) -> None:
    # As its author wrote it: layers fused otherwise round otherwise, by 2e-6 in the network without shortcuts.
    done = start(0, *run(shared, pictures, network), "--alpha", "0:0:1", "--variant", "plain", timeout=800)
    assert done.returncode == 0, done.stderr
    surface = store.read(tmp_path / "surface.h5")
    loss, accuracy = PUBLISHED[network]
    assert float(surface["test_loss"][0]) == pytest.approx(loss, abs=5.1e-7)
    assert float(surface["test_accuracy"][0]) == pytest.approx(accuracy, abs=1e-9)
    error = (accuracy * (1 - accuracy) / 9_999) ** 0.5  # of 10,000 pictures
    assert f"at the centre: test loss {loss:.4f} ± " in done.stderr
    assert f", accuracy {accuracy:.4f} ± {error:.2g}\n" in done.stderr


@pytest.mark.timeout(300)
def test_bfloat16_is_refused_where_it_cannot_draw_the_network(start: Any, shared: Path, pictures: Path) -> None:
    lower = ("--alpha", "-1:1:5", "--max-samples", "500", "--precision", "bfloat16")
    done = start(0, *run(shared, pictures, "resnet56_noshort"), *lower, timeout=250)
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    assert len(errors) == 1, done.stderr
    assert "--precision bfloat16: test loss at (" in errors[0]
    assert "in float32" in errors[0]
    assert "more than --max-rounding 0.05; use --precision float32" in errors[0]
