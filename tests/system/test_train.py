"""Training from the command line, and the surface of what was trained."""

import csv
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lossgrid import store
from tests.conftest import launch
from tests.families import further
from tests.pace import soon
from tests.system.conftest import Inside, running

pytestmark = pytest.mark.beside

MLP = ("--model", "mlp", "--epochs", "4", "--lr", "0.2", "--lr-steps", "2,3", "--save-every", "2")


def rows(path: Path) -> list[dict[str, float]]:
    with (path / "epochs.csv").open(newline="") as stream:
        return [{name: float(text) for name, text in row.items()} for row in csv.DictReader(stream)]


@pytest.mark.parametrize("model", [further("mlp"), "resnet20"])
def test_what_was_trained_is_what_the_surface_is_of(start: Any, tmp_path: Path, model: str) -> None:
    """The digits are learned, and the centre of the surface is the last row of the table."""
    options = ("--epochs", "4", "--batch-size", "32", "--schedule", "onecycle", "--lr", "0.1")
    done = start(0, "lossgrid", "train", "--model", model, *options)
    assert done.returncode == 0, done.stderr
    assert "training is complete: 4 epochs" in done.stderr
    last = rows(tmp_path / "training")[-1]
    assert last["test_accuracy"] > 0.9
    made = start(
        2, "lossgrid", "run", "--model", model, "--checkpoint", "training/epoch_0004.pt", "--splits", "train,test",
        "--alpha", "-1:1:3",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    surface = store.read(tmp_path / "surface.h5")
    for metric in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        assert surface[metric][1] == pytest.approx(last[metric], rel=1e-4)
    assert (np.delete(surface["train_loss"], 1) > surface["train_loss"][1]).all()


def test_the_way_of_a_training_is_a_line_between_its_checkpoints(start: Any, tmp_path: Path) -> None:
    assert start(0, "lossgrid", "train", *MLP).returncode == 0
    done = start(
        0, "lossgrid", "run", "--model", "mlp", "--checkpoint", "training/epoch_0000.pt", "--to",
        "training/epoch_0004.pt", "--alpha", "0:1:2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ends = [rows(tmp_path / "training")[epoch]["train_loss"] for epoch in (0, 4)]
    np.testing.assert_allclose(store.read(tmp_path / "surface.h5")["train_loss"], ends, rtol=1e-4)


LONG = ("lossgrid", "train", "--model", "resnet20", "--max-samples", "400", "--epochs", "2", "--batch-size", "10")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training that nothing happened to."""
    path = tmp_path_factory.mktemp("undisturbed")
    done = launch(0, *LONG, cwd=path)
    assert done.returncode == 0, done.stderr
    return path / "training"


def assert_same_network(one: Path, other: Path) -> None:
    left, right = (torch.load(path / "epoch_0002.pt", weights_only=True)["state_dict"] for path in (one, other))
    assert list(left) == list(right)
    assert all(torch.equal(tensor, right[name]) for name, tensor in left.items())


def wait_for_epoch(job: subprocess.Popen[str], path: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while not (path / "epochs.csv").exists() or len(rows(path)) <= count:
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, further(signal.SIGINT), further(signal.SIGUSR1)])
def test_a_stop_signal_ends_it_within_a_batch_and_it_goes_on(
    start: Any, tmp_path: Path, undisturbed: Path, number: int
) -> None:
    with running(0, *LONG, cwd=tmp_path) as job:
        wait_for_epoch(job, tmp_path / "training", 1)
        time.sleep(0.2)
        job.send_signal(number)
        sent = time.monotonic()
        _, errors = job.communicate(timeout=soon(30))
    assert job.returncode == 75, errors
    assert time.monotonic() - sent < soon(5)
    assert f"stopped by {signal.Signals(number).name} after" in errors
    assert not list(tmp_path.glob("*.lock"))
    done = start(0, *LONG)
    assert done.returncode == 0, done.stderr
    assert "resuming training: " in done.stderr
    assert_same_network(tmp_path / "training", undisturbed)


def test_after_kill_9_it_goes_on_from_the_last_epoch(start: Any, tmp_path: Path, undisturbed: Path) -> None:
    with running(0, *LONG, cwd=tmp_path) as job:
        wait_for_epoch(job, tmp_path / "training", 1)
        job.kill()
    assert start(0, *LONG).returncode == 0
    assert_same_network(tmp_path / "training", undisturbed)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epocs", "3"], ["--epocs", "--epochs"]),
        ([], ["--model is missing", "--help"]),
        (["--model", "mlp", "--lr", "fast"], ["--lr", "number"]),
        (["--model", "mlp", "--augment", "crops"], ["--augment", "crops"]),
        (["--model", "mlp", "--config", "typo.toml"], ["weihgt_decay", "weight-decay"]),
        (["--model", "mlp", "--out", "absent/training"], ["--out", "absent"]),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_touched(
    inside: Inside, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    (tmp_path / "typo.toml").write_text("weihgt-decay = 0.1\n")
    done = inside("train", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("lossgrid: error: ")
    assert len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["typo.toml"]


def test_settings_come_from_a_file_and_the_command_line_wins(inside: Inside, tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text(
        'model = "mlp"\nepochs = 9\nlr-steps = [1]\nout = "here"\naugment = "flip"\n[model-arg]\nhidden = [8]\n'
    )
    done = inside("train", "--config", "train.toml", "--epochs", 2)
    assert done.returncode == 0, done.stderr
    settings = torch.load(tmp_path / "here" / "epoch_0002.pt", weights_only=True)["settings"]
    assert (settings["lr_steps"], settings["model_arg"], settings["augment"]) == ([1], {"hidden": [8]}, ["flip"])


def test_it_is_one_process(start: Any, tmp_path: Path) -> None:
    refused = start(2, "lossgrid", "train", *MLP)
    assert refused.returncode == 2
    assert "lossgrid train is one process" in refused.stderr
    assert list(tmp_path.iterdir()) == []
    assert start(1, "lossgrid", "train", "--model", "mlp", "--epochs", 1).returncode == 0
