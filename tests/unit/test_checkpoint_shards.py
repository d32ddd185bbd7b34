"""Checkpoints of several files: the index, its folder, and what in them cannot be trusted."""

from __future__ import annotations

import json
import logging
import os
import random
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from lossgrid import models, store
from lossgrid.errors import InputError
from lossgrid.models import Layout
from lossgrid.models.shards import INDEX, read_shards
from tests.builders import a_perceptron
from tests.refusals import refusal_of
from tests.unit.test_compare import run_main

State = Mapping[str, torch.Tensor]


def net(seed: int = 0) -> torch.nn.Sequential:
    return a_perceptron(4, 3, 2, seed=seed)


def split(state: State, count: int = 2) -> dict[str, dict[str, torch.Tensor]]:
    """Return the entries of each of ``count`` files, in turn."""
    return {
        f"model-{i + 1:05}-of-{count:05}.safetensors": {name: state[name] for name in list(state)[i::count]}
        for i in range(count)
    }


def sharded(folder: Path, shards: Mapping[str, State], name: str = INDEX, **changed: Any) -> Path:
    """Write shards and their index; return its path. ``weight_map`` may be changed."""
    folder.mkdir(exist_ok=True)
    for file, entries in shards.items():
        safetensors.torch.save_file(dict(entries), folder / file)
    where = {entry: file for file, entries in shards.items() for entry in entries}
    content = {"metadata": {"total_size": 3}, "weight_map": where} | changed
    (folder / name).write_text(json.dumps(content, indent=2))
    return folder / name


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_shards_are_joined_by_their_index_or_their_folder(count: int, tmp_path: Path) -> None:
    state = net().state_dict()
    index = sharded(tmp_path, split(state, count))
    assert equal(models.read_checkpoint(index), state)
    assert equal(models.read_checkpoint(tmp_path), state)


def test_the_order_of_entries_is_that_of_the_index(tmp_path: Path) -> None:
    index = sharded(tmp_path, split(net().state_dict()))
    where = json.loads(index.read_text())["weight_map"]
    assert list(models.read_checkpoint(index)) == list(where)


def test_shards_of_torch_save(tmp_path: Path) -> None:
    state = net().state_dict()
    for file, entries in split(state).items():
        torch.save(entries, tmp_path / file)
    where = {entry: file for file, entries in split(state).items() for entry in entries}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}))
    assert equal(models.read_checkpoint(tmp_path), state)


def test_links_to_shards_are_followed(tmp_path: Path) -> None:
    """The cache of huggingface_hub holds links to files with names of digests."""
    state = net().state_dict()
    (tmp_path / "blobs").mkdir()
    index = sharded(tmp_path / "snapshot", split(state))
    for i, path in enumerate(sorted((tmp_path / "snapshot").iterdir())):
        path.rename(tmp_path / "blobs" / str(i))
        path.symlink_to(Path("..") / "blobs" / str(i))
    assert equal(models.read_checkpoint(index), state)
    assert equal(models.read_checkpoint(tmp_path / "snapshot"), state)


def test_of_several_indices_the_usual_one_is_read(tmp_path: Path) -> None:
    sharded(tmp_path, split(net(1).state_dict(), 3), "other.safetensors.index.json")
    assert equal(models.read_checkpoint(tmp_path), net(1).state_dict())
    sharded(tmp_path, split(net(2).state_dict(), 4), "third.index.json")
    assert "several indices of shards; expected the path of one: other.safetensors.index.json, third" in refusal_of(
        tmp_path
    )
    sharded(tmp_path, split(net().state_dict()))
    assert equal(models.read_checkpoint(tmp_path), net().state_dict())


def test_a_folder_without_index_is_refused(tmp_path: Path) -> None:
    safetensors.torch.save_file(net().state_dict(), tmp_path / "model.safetensors")
    assert f"it is a directory without {INDEX}" in refusal_of(tmp_path)


def test_prefixes_and_ignored_entries_are_those_of_the_joined_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = {f"model.{name}": tensor for name, tensor in net().state_dict().items()} | {"lm_head.weight": torch.ones(2)}
    index = sharded(tmp_path, split(state))
    model = net(3)
    with caplog.at_level(logging.INFO):
        read = models.read_checkpoint(index, Layout(ignore=("lm_head.*",)))
        models.load_renamed(model, read, source=str(index))
    assert equal(model.state_dict(), net().state_dict())
    assert "left out lm_head.weight" in caplog.text
    assert "without the prefix 'model.'" in caplog.text
    with pytest.raises(InputError, match="has no entry 'ema'"):
        models.read_checkpoint(index, Layout(key="ema"))


def test_missing_shards_are_named(tmp_path: Path) -> None:
    index = sharded(tmp_path, split(net().state_dict(), 4))
    (tmp_path / "model-00002-of-00004.safetensors").unlink()
    (tmp_path / "model-00004-of-00004.safetensors").unlink()
    line = refusal_of(index)
    assert "2 of 4 shards are missing beside it: model-00002-of-00004.safetensors, model-00004-of-00004" in line


@pytest.mark.parametrize(
    "file", ["../model.safetensors", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "a\0b", "x" * 300, "\ud800", "a/../b"]
)
def test_files_outside_the_folder_are_refused(file: str, tmp_path: Path) -> None:
    safetensors.torch.save_file(net().state_dict(), tmp_path / "model.safetensors")
    index = sharded(tmp_path / "inside", {}, weight_map=dict.fromkeys(net().state_dict(), file))
    assert "expected names of files beside it, without a folder" in refusal_of(index)


@pytest.mark.parametrize(
    "where",
    [{}, [], None, 3, "x", {"a": 3}, {"a": None}, {"a": ["x"]}, {"a": {"b": "c"}}],
    ids=str,
)
def test_an_index_without_files_is_refused(where: Any, tmp_path: Path) -> None:
    assert 'no index of shards; expected {"weight_map"' in refusal_of(sharded(tmp_path, {}, weight_map=where))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"weight_map"',
        '{"a": ' * 100_000,
        '{"a": [' + "[" * 100_000,
        '{"weight_map": {"a": "x", "a": "y"}}',
        '{"weight_map": {"a": "x"}, "weight_map": {"a": "y"}}',
        '{"weight_map": ' + "9" * 10_000 + "}",
        '{"weight_map": "\udcff"}',
        '{"weight_map": {}}\n{}',
        "{'weight_map': {}}",
    ],
    ids=range(10),
)
def test_text_that_is_no_index_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / INDEX).write_bytes(text.encode(errors="surrogateescape"))
    assert "is text, and no index of shards" in refusal_of(tmp_path / INDEX)


def test_an_index_larger_than_any_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossgrid.models.shards.LARGEST", 100)
    assert "more than 100 bytes" in refusal_of(sharded(tmp_path, split(net().state_dict())))


def test_an_index_that_names_itself_is_refused(tmp_path: Path) -> None:
    index = sharded(tmp_path, {}, weight_map={"0.weight": INDEX})
    assert "is damaged or no checkpoint" in refusal_of(index)


def test_shards_that_hold_other_entries_are_refused(tmp_path: Path) -> None:
    state = net().state_dict()
    first, second = split(state).values()
    names = list(split(state))
    for shards, words in (
        ([{**first, "extra": torch.ones(1)}, second], f"{names[0]}, which also holds extra"),
        ([first, {**second, **first}], f"{names[1]}, which also holds {min(first)}"),
        ([{"0.weight": first["0.weight"]}, second], f"{names[0]}, which lacks 2.weight"),
    ):
        index = sharded(
            tmp_path,
            dict(zip(names, shards, strict=True)),
            weight_map={entry: file for file, entries in split(state).items() for entry in entries},
        )
        assert words in refusal_of(index)


def test_shards_that_are_no_state_dicts_are_refused(tmp_path: Path) -> None:
    for content, words in (
        ([torch.ones(1)], "is no shard, as it holds a list"),
        ({"model": net().state_dict()}, "is no shard, as it holds a dict"),
        ({"a": 3}, "is no shard, as it holds a dict"),
        ({}, "is no shard, as it holds an empty dict"),
    ):
        torch.save(content, tmp_path / "a.bin")
        (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "a.bin"}}))
        with pytest.raises(InputError, match=words):
            models.read_checkpoint(tmp_path)


def test_pipes_and_folders_are_no_shards(tmp_path: Path) -> None:
    for make in (os.mkfifo, os.mkdir):
        folder = tmp_path / make.__name__
        index = sharded(folder, {}, weight_map={"a": "shard"})
        make(folder / "shard")
        with pytest.raises(InputError, match=r"shard cannot be read: it is a (named pipe|directory)"):
            models.read_checkpoint(index)


def test_each_shard_is_read_once(tmp_path: Path) -> None:
    state = {str(i): torch.ones(1) for i in range(20)}
    shards = split(state, 3)
    index = sharded(tmp_path, shards)
    asked: list[str] = []

    def read(path: Path) -> State:
        asked.append(path.name)
        return shards[path.name]

    assert equal(read_shards(index, read), state)
    assert sorted(asked) == sorted(shards)


@pytest.mark.parametrize("kind", ["index", "shard"])
def test_damaged_files_never_end_in_a_traceback(kind: str, tmp_path: Path) -> None:
    state = net().state_dict()
    index = sharded(tmp_path, split(state))
    path = index if kind == "index" else tmp_path / next(iter(split(state)))
    whole, chance = path.read_bytes(), random.Random(3)
    refused: list[str] = []
    for _ in range(300):
        changed = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(min(len(whole), 300))] = chance.randrange(256)
        path.write_bytes(changed[: chance.choice([len(changed), chance.randrange(len(changed))])])
        try:
            models.load_renamed(net(1), models.read_checkpoint(index), source="net")
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > 200
    assert not any("\n" in line for line in refused)


def test_a_header_whose_length_looks_like_text(tmp_path: Path) -> None:
    """The length of a header can begin with the byte of a brace, or of a space and a brace."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})
    for length in (0x7B, 0x7B20, 0x7B0A):
        content = struct.pack("<Q", length) + header.ljust(length).encode() + struct.pack("<f", 2.5)
        (tmp_path / "net.safetensors").write_bytes(content)
        assert models.read_checkpoint(tmp_path / "net.safetensors")["w"].item() == 2.5


def test_a_run_takes_the_index_and_goes_on_with_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    state = models.build("mlp", {}, facts={"in_features": 64, "num_classes": 10}).state_dict()
    sharded(tmp_path / "weights", split(state))
    torch.save(state, "net.pt")
    run = ("run", "--model", "mlp", "--data", "digits", "--max-samples", "60", "--alpha", "-1:1:5", "--out")
    assert run_main(*run, "a.h5", "--checkpoint", "weights") == 0
    assert run_main(*run, "a.h5", "--checkpoint", Path("weights") / INDEX) == 0
    assert run_main(*run, "a.h5", "--checkpoint", "net.pt") == 0
    assert run_main(*run, "b.h5", "--checkpoint", "net.pt") == 0
    one, other = (store.read(Path(name))["train_loss"] for name in ("a.h5", "b.h5"))
    assert one.tobytes() == other.tobytes()
    shard = Path("weights") / next(iter(split(state)))
    assert run_main(*run, "c.h5", "--checkpoint", shard) == 2
    assert "it is one of several files (shards): give their index" in capfd.readouterr().err
    shard.unlink()
    assert run_main(*run, "c.h5", "--checkpoint", "weights") == 2
    assert "1 of 2 shards are missing" in capfd.readouterr().err
    assert not Path("c.h5").exists()
