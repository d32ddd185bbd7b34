"""Damaged and forged inputs by the thousand, each from a seed: what comes of one is right, or one line."""

from __future__ import annotations

import copy
import io
import pickle
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from lossgrid import data, models
from lossgrid.errors import InputError
from lossgrid.evaluation import choose_device
from lossgrid.settings import RunConfig, TrainConfig, read_toml, read_value, resolve
from lossgrid.training import folder
from lossgrid.training.preparation import prepare, updates
from lossgrid.training.resumption import resume
from tests.pace import soon

HOSTILE: list[Any] = [
    None, True, -1, 0, 2**31, 2**70, 10**400, 1e400, float("nan"), "", "x" * 10_000, "\0", "\ud800", b"bytes", [], {},
    (), [[]], {"a": 1}, {1: 2}, torch.tensor(1), torch.ones(3), torch.ones(2, 2).to_sparse(),
    torch.ones(2, dtype=torch.cfloat), torch.empty(3, device="meta"), torch.full((2,), float("nan")),
    torch.ones(1).expand(10**12), np.float64(1), set(),
]  # fmt: skip


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Flip, zero, cut, repeat or insert some of the bytes."""
    some = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 4))):
        at, size = chance.randrange(len(some)), chance.choice((1, 1, 4, 64))
        kind = chance.randrange(6)
        if kind < 2:
            some[at] ^= 1 << chance.randrange(8)
        elif kind == 2:
            some[at : at + size] = bytes(len(some[at : at + size]))
        elif kind == 3:
            some[at : at + size] = b"\xff" * len(some[at : at + size])
        elif kind == 4:
            del some[at : at + chance.choice((size, len(some)))]
        else:
            some[at:at] = chance.randbytes(size)
        if not some:
            break
    return bytes(some)


def refused_in_one_line(work: Callable[[], Any]) -> bool:
    """Do ``work``; tell whether it was refused. Any other error fails the test."""
    try:
        work()
    except InputError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < 4000
        text.encode()
        return True
    return False


def written(form: str, state: dict[str, torch.Tensor]) -> bytes:
    if form == "safetensors":
        return safetensors.torch.save(state)
    stream = io.BytesIO()
    torch.save({"state_dict": state, "epoch": 3}, stream, _use_new_zipfile_serialization=form == "zip")
    return stream.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_damaged_checkpoints(form: str, tmp_path: Path) -> None:
    chance, path, model, refused = random.Random(1), tmp_path / "net", net(), 0
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    whole = written(form, state)
    for _ in range(800):
        path.write_bytes(damaged(whole, chance))
        read: dict[str, Any] = {}

        def load(read: dict[str, Any] = read) -> None:
            read.update(models.read_checkpoint(path))
            models.load_state(model, read, source="net")

        if refused_in_one_line(load):
            refused += 1
        elif form == "zip":  # sums tell of every byte that matters
            assert all(torch.equal(read[name], tensor) for name, tensor in state.items())
        models.load_state(model, state, source="net")
    assert refused > 300


@pytest.mark.slow
def test_damaged_pickles_with_right_sums(tmp_path: Path) -> None:
    """Forged, not damaged: the archive is whole, and the pickle in it says something else."""
    chance, path, model = random.Random(2), tmp_path / "net", net()
    with zipfile.ZipFile(io.BytesIO(written("zip", model.state_dict()))) as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
    for _ in range(800):
        with zipfile.ZipFile(path, "w") as forged:
            for name, content in members.items():
                forged.writestr(name, damaged(content, chance) if name.endswith(".pkl") else content)
        refused_in_one_line(lambda: models.load_state(net(), models.read_checkpoint(path), source="net"))


def test_hostile_values_in_checkpoints(tmp_path: Path) -> None:
    path, state = tmp_path / "net", dict(net().state_dict())
    for value in HOSTILE:
        for content in (value, {"state_dict": value}, {**state, "0.weight": value}, {**state, "1._extra_state": value}):
            torch.save(content, path)
            assert refused_in_one_line(lambda: models.load_state(net(), models.read_checkpoint(path), source="net"))
        assert refused_in_one_line(lambda: models.load_state(net(), {**state, "2.bias": value}, source="net"))  # noqa: B023


@pytest.mark.parametrize(("field", "value"), [(38, b"\xff"), (20, bytes(4)), (16, bytes(4) + bytes(4)), (8, b"\1")])
def test_members_of_which_torch_reads_memory_at_random_are_refused(field: int, value: bytes, tmp_path: Path) -> None:
    """Marked as a folder, of no compressed size, of neither sum nor size, encrypted."""
    whole = bytearray(written("zip", {"weight": torch.ones(100)}))
    at = whole.rindex(b"PK\x01\x02", 0, whole.rindex(b"archive/data/0"))  # its entry in the directory
    whole[at + field : at + field + len(value)] = value
    (tmp_path / "net").write_bytes(whole)
    assert refused_in_one_line(lambda: models.read_checkpoint(tmp_path / "net"))


def test_compressed_and_swollen_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data.pkl", bytes(10**7))
    assert refused_in_one_line(lambda: models.read_checkpoint(path))
    whole = bytearray(written("zip", net().state_dict()))
    at = whole.rindex(b"PK\x01\x02")  # the last entry of the directory: sizes at 20 and 24
    whole[at + 20 : at + 28] = b"\xfe\xff\xff\xff" * 2
    path.write_bytes(whole)
    assert refused_in_one_line(lambda: models.read_checkpoint(path))


def test_tensors_without_their_numbers_are_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    torch.save({"weight": torch.ones(1000)}, stream, _use_new_zipfile_serialization=False)
    whole = stream.getvalue()
    keys = whole.rindex(b"\x80\x02]")  # the pickle that lists the storages which follow
    (tmp_path / "net").write_bytes(whole[:keys] + pickle.dumps([], protocol=2))
    assert refused_in_one_line(lambda: models.read_checkpoint(tmp_path / "net"))
    torch.load(tmp_path / "net", weights_only=True)  # takes it


CONFIG = """
model = "mlp"
data = "digits"
splits = ["train", "test"]
max-samples = 300
alpha = "-1:1:51"
beta = [-1, 1, 5]
batch-size = "auto"
precision = "float64"
time-limit = 3.5
out = "surface.h5"
to = ["b.pt"]
checkpoint = "a.pt"
plot = true
[model-arg]
hidden = [8, 8]
"""


@pytest.mark.slow
def test_damaged_settings(tmp_path: Path) -> None:
    chance, path, refused = random.Random(3), tmp_path / "run.toml", 0
    for _ in range(2000):
        path.write_bytes(damaged(CONFIG.encode(), chance))

        def load() -> None:
            config = resolve(RunConfig, read_toml(path))
            assert RunConfig(**config.model_dump(mode="json")) == config
            config.identity()

        refused += refused_in_one_line(load)
    assert refused > 500


@pytest.mark.parametrize("key", [*RunConfig.model_fields, "nothing"])
def test_hostile_values_of_settings(key: str) -> None:
    for value in [
        *HOSTILE,
        [1, 2, 3],
        "1e400",
        "nan",
        "-1",
        "10" * 400,
        "\ud800",
        "/",
        ".",
        "..",
        "x" * 300,
        "a/" * 3000,
    ]:
        settings = {"model": "mlp"} | {key: value}

        def load(settings: dict[str, Any] = settings) -> None:
            config = resolve(RunConfig, settings)
            config.model_dump(mode="json")
            config.identity()

        refused_in_one_line(load)


def test_hostile_tables_of_arguments() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    loop: list[Any] = []
    loop.append(loop)
    for value in (deep, loop):
        assert refused_in_one_line(lambda: resolve(RunConfig, {"model": "mlp", "model_arg": {"a": value}}))  # noqa: B023


@pytest.mark.parametrize(
    "text", ["[" * 5000, "a = " + "[" * 5000 + "]" * 5000, "a." * 5000 + "b = 1", "a = " + "1" * 5000]
)
def test_settings_without_end(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(text)
    assert refused_in_one_line(lambda: resolve(RunConfig, read_toml(tmp_path / "run.toml")))


@pytest.mark.parametrize(
    "text",
    ["inf", "-inf", "+nan", "nan", "1e400", "1979-05-27", "07:32:00", "1\nx = 2", "1#2", "true # x", "[" * 5000, "\0"],
)
def test_words_of_toml_are_text(text: str) -> None:
    assert read_value(text) == text


@pytest.mark.parametrize("layout", ["binary", "python"])
def test_damaged_pictures(layout: str, tmp_path: Path) -> None:
    chance, refused = random.Random(4), 0
    pixels, labels = np.arange(4 * 3072, dtype=np.uint8).reshape(4, 3072), np.arange(4, dtype=np.uint8)
    if layout == "binary":
        whole, path = np.hstack([labels[:, None], pixels]).tobytes(), tmp_path / "test_batch.bin"
    else:
        whole = pickle.dumps({"data": pixels, "labels": labels.tolist()}, protocol=2)
        path = tmp_path / "test_batch"
    for _ in range(600):
        content = damaged(whole, chance)
        if layout == "python" and chance.random() < 0.7:  # most bytes are pixels
            content = damaged(whole[:300], chance) + whole[300:-200] + damaged(whole[-200:], chance)
        path.write_bytes(content)
        refused += refused_in_one_line(lambda: data.load(f"cifar10:{tmp_path}", {}, splits=("test",)))
    assert refused > 100


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}r\xff\xff\xff\x7f.",  # an object of number 2**31 - 1
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f" + b"x.",  # so many bytes
        b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f" + b"x.",  # a frame of as many
        b"\x80\x02" + b"(" * 100_000 + b"l" * 100_000 + b".",
        pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [2**70]}, protocol=2),
    ],
)
def test_pickles_without_end(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "test_batch").write_bytes(content)
    began = time.monotonic()
    assert refused_in_one_line(lambda: data.load(f"cifar10:{tmp_path}", {}, splits=("test",)))
    assert time.monotonic() - began < soon(20)  # that of C takes memory for a minute


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_forged_trainings(optimizer: str, tmp_path: Path) -> None:
    chance, refused = random.Random(5), 0
    settings = {"model": "mlp", "model_arg": {"hidden": [4]}, "optimizer": optimizer, "schedule": "cosine", "epochs": 3}
    config = resolve(
        TrainConfig, settings | {"max_samples": 40, "batch_size": 16, "device": "cpu", "out": tmp_path / "t"}
    )
    splits = data.load(config.data, {}, splits=config.splits, max_samples=config.max_samples)
    learner, samples = prepare(config, splits, choose_device("cpu", "float32", local_rank=0))
    count = updates(config, samples["train"].samples)
    fresh = learner.optimizer.state_dict(), copy.deepcopy(learner.schedule.state_dict())
    for _ in range(count + 1):
        learner.update("train", samples["train"].inputs[:16], samples["train"].targets[:16])
    history = [{"epoch": e, "train_loss": 1.0, "test_loss": 2.0, "seconds": 0.1} for e in range(2)]
    content = {
        "format": folder.FORMAT, "settings": config.identity(), "origin": {"threads": 1, "device": "cpu"},
        "history": history, "batch": 1, "seconds": 0.5, "state_dict": copy.deepcopy(dict(learner.model.state_dict())),
        "optimizer": copy.deepcopy(learner.optimizer.state_dict()), "schedule": learner.schedule.state_dict(),
    }  # fmt: skip
    config.out.mkdir()
    path = config.out / folder.LAST

    def go_on() -> None:
        resume(config, learner, folder.read(config.out), count)
        learner.update("train", samples["train"].inputs[:16], samples["train"].targets[:16])
        learner.optimizer.load_state_dict(fresh[0])
        learner.schedule.load_state_dict(copy.deepcopy(fresh[1]))

    torch.save(content, path)
    whole = path.read_bytes()
    assert not refused_in_one_line(go_on)
    for _ in range(300):
        path.write_bytes(damaged(whole, chance))
        refused_in_one_line(go_on)
    for _ in range(600):
        forged = copy.deepcopy(content)
        _replace_something(forged, chance)
        torch.save(forged, path)
        refused += refused_in_one_line(go_on)
    assert refused > 500


def _replace_something(content: Any, chance: random.Random) -> None:
    """Put a hostile value, under its key or another, somewhere into nested dicts and lists; or take something away."""
    while True:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        key = chance.choice(keys)
        if isinstance(content[key], (dict, list)) and content[key] and chance.random() < 0.7:
            content = content[key]
            continue
        if isinstance(content, dict) and chance.random() < 0.2:
            content[chance.choice(["x", 0, None, ""])] = content.pop(key)
        elif chance.random() < 0.1:
            del content[key]
        else:
            content[key] = chance.choice([value for value in HOSTILE if not isinstance(value, np.float64)])
        return
