import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from lossgrid import models
from lossgrid.errors import InputError
from lossgrid.files import reading
from tests.builders import a_network
from tests.refusals import refusal_of

State = dict[str, torch.Tensor]
TRAINED = {20: "12fca82f", 32: "d509ac18", 44: "014dd654", 56: "4bfd9763"}


def small(classes: int = 2) -> nn.Sequential:
    """A network with a convolution, normalisation and a linear layer."""
    return a_network(1, 3, classes, seed=classes)


def equal(one: State, other: State) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize("depth", TRAINED)
def test_trained_networks_load(depth: int, shared: Path) -> None:
    path = shared / "checkpoints" / f"resnet{depth}-{TRAINED[depth]}.th"
    if not path.is_file():
        pytest.skip(f"NOT RUN: needs {path}")
    model = models.build(f"resnet{depth}", {"shortcut": "pad"}, facts={})
    models.load_state(model, models.read_checkpoint(path), source=str(path))
    stored = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    loaded = prefixed(model.state_dict(), "module.")
    assert [name for name in loaded if not name.endswith("num_batches_tracked")] == list(stored)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in stored.items())


def test_a_trained_network_does_not_fit_projections(shared: Path) -> None:
    path = shared / "checkpoints" / f"resnet20-{TRAINED[20]}.th"
    if not path.is_file():
        pytest.skip(f"NOT RUN: needs {path}")
    state = models.read_checkpoint(path)
    with pytest.raises(InputError, match=r"missing.*layer2\.0\.shortcut\.0\.weight.* and 6 more.*shortcut"):
        models.load_state(models.build("resnet20", {}, facts={}), state, source=str(path))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("holder", [None, "state_dict", "model", "model_state_dict"])
def test_torch_files_with_and_without_a_holder(holder: str | None, zipped: bool, tmp_path: Path) -> None:
    state = small().state_dict()
    content = (
        state if holder is None else {holder: state, "epoch": 3, "best": 0.5, "optimizer": {"state": {}, "name": "sgd"}}
    )
    path = tmp_path / "checkpoint"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert equal(models.read_checkpoint(path), state)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module."]
)
def test_prefixes_of_wrappers_are_dropped(prefix: str, tmp_path: Path) -> None:
    state = small().state_dict()
    torch.save({"state_dict": prefixed(state, prefix)}, tmp_path / "net.pt")
    assert equal(models.read_checkpoint(tmp_path / "net.pt"), state)


def test_names_that_only_begin_like_a_prefix_stay(tmp_path: Path) -> None:
    state = {"modules.weight": torch.ones(1), "head.module.weight": torch.ones(1)}
    torch.save(state, tmp_path / "net.pt")
    assert equal(models.read_checkpoint(tmp_path / "net.pt"), state)


@pytest.mark.parametrize("name", ["net.safetensors", "net.pt", "net"])
def test_safetensors_are_told_by_their_content(name: str, tmp_path: Path) -> None:
    state = small().state_dict()
    safetensors.torch.save_file(prefixed(state, "module."), tmp_path / name)
    read = models.read_checkpoint(tmp_path / name)
    assert set(read) == set(state)
    assert all(torch.equal(read[entry], state[entry]) for entry in state)


def test_a_torch_file_may_be_called_safetensors(tmp_path: Path) -> None:
    state = small().state_dict()
    torch.save(state, tmp_path / "net.safetensors")
    assert equal(models.read_checkpoint(tmp_path / "net.safetensors"), state)


def test_entries_that_are_parameters(tmp_path: Path) -> None:
    torch.save(dict(small().named_parameters()), tmp_path / "net.pt")
    assert not any(tensor.requires_grad for tensor in models.read_checkpoint(tmp_path / "net.pt").values())


class Hostile:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle", "in a holder"])
def test_code_in_a_file_is_not_run(how: str, tmp_path: Path) -> None:
    path, made = tmp_path / "net.pt", tmp_path / "made"
    hostile = Hostile(made)
    if how == "pickle":
        path.write_bytes(pickle.dumps(hostile))
    else:
        content = {"state_dict": small().state_dict(), "extra": hostile} if how == "in a holder" else hostile
        torch.save(content, path, _use_new_zipfile_serialization=how != "legacy")
    line = refusal_of(path)
    assert not made.exists()
    assert ("expected" if how == "pickle" else "mkdir, which is not loaded") in line
    with path.open("rb") as stream:  # it is hostile indeed: without the safeguard it makes its folder
        if how == "pickle":
            pickle.load(stream)
        else:
            torch.load(stream, weights_only=False)
    assert made.is_dir()


@pytest.mark.parametrize("holder", [None, "model"])
def test_a_pickled_network_is_refused_with_the_way_out(holder: str | None, tmp_path: Path) -> None:
    torch.save(small() if holder is None else {holder: small()}, tmp_path / "net.pt")
    assert "save model.state_dict() instead" in refusal_of(tmp_path / "net.pt")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_files_cut_short(kind: str, kept: float, tmp_path: Path) -> None:
    path = tmp_path / "net"
    if kind == "safetensors":
        safetensors.torch.save_file(small().state_dict(), path)
    else:
        torch.save(small().state_dict(), path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert "expected" in refusal_of(path)


FOREIGN = {
    "empty": b"",
    "text": b"conv1.weight = [1, 2, 3]\n" * 20,
    "picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(40),
    "zeros": bytes(4096),
    "short": b"\x80",
    "zip": b"PK\x03\x04" + bytes(200),
    "numbers pickled": pickle.dumps([1, 2, 3]),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "like safetensors": struct.pack("<Q", 40) + b"{" + b"x" * 60,
    "header beyond the file": struct.pack("<Q", 2**62) + b"{}" + b" " * 60,
    "json": b'{"conv1.weight": [1, 2, 3]}',
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(FOREIGN[kind])
    assert "expected" in refusal_of(path)


def test_arrays_of_numpy_are_not_a_checkpoint(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", weight=np.ones(3))
    assert "expected" in refusal_of(tmp_path / "net.npz")


@pytest.mark.parametrize(
    "content",
    [
        3,
        [torch.ones(2)],
        torch.ones(2),
        {},
        {"state_dict": {}},
        {"epoch": 1, "optimizer": {"lr": 0.1}},
        {3: torch.ones(2)},
    ],
    ids=str,
)
def test_files_without_a_state_dict(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "net.pt")
    assert "expected" in refusal_of(tmp_path / "net.pt")


def test_values_in_a_state_dict_that_are_no_tensors(tmp_path: Path) -> None:
    torch.save({"state_dict": {**small().state_dict(), "epoch": 3}}, tmp_path / "net.pt")
    assert "'epoch'" in refusal_of(tmp_path / "net.pt")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.pt", tmp_path, tmp_path / "absent" / "net.pt", tmp_path / ("long" * 100)):
        assert "expected" in refusal_of(path)


def test_files_under_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refusal_of(tmp_path / "file" / "net.pt")


@pytest.mark.skipif(os.geteuid() == 0, reason="NOT RUN: root may read everything")
def test_files_without_permission(tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / "net.pt")
    (tmp_path / "net.pt").chmod(0)
    refusal_of(tmp_path / "net.pt")


def test_permission_denied_by_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(small().state_dict(), tmp_path / "net.pt")

    def denied(path: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(reading.os, "open", denied)
    refusal_of(tmp_path / "net.pt")


def test_state_is_put_into_the_model() -> None:
    state = small(2).state_dict()
    torch.manual_seed(7)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2))
    places = [p.data_ptr() for p in model.parameters()]
    models.load_state(model, state, source="net.pt")
    assert equal(model.state_dict(), state)
    assert [p.data_ptr() for p in model.parameters()] == places
    state["0.weight"].zero_()
    assert model.state_dict()["0.weight"].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_entries_take_the_dtype_of_the_model(dtype: torch.dtype) -> None:
    state = {name: t.to(dtype) if t.is_floating_point() else t for name, t in small().state_dict().items()}
    model = small(2)
    models.load_state(model, state, source="net.pt")
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert torch.equal(model[3].weight, state["3.weight"].float())


def test_num_batches_tracked_may_be_missing() -> None:
    state = {name: t + 1 for name, t in small().state_dict().items() if not name.endswith("num_batches_tracked")}
    model = small()
    models.load_state(model, state, source="net.pt")
    assert state
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in state.items())


def test_every_kind_of_mismatch_on_one_line() -> None:
    state = small(5).state_dict()
    state["3.scale"] = torch.ones(1)
    del state["0.weight"]
    model = small(2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InputError) as caught:
        models.load_state(model, state, source="runs/net.pt")
    line = str(caught.value)
    for part in (
        "runs/net.pt",
        "missing",
        "0.weight",
        "unexpected",
        "3.scale",
        "3.weight",
        "(2, 3)",
        "(5, 3)",
        "3.bias",
    ):
        assert part in line, part
    assert "--model-arg" in line
    assert "num_classes" in line
    assert "\n" not in line
    assert equal(model.state_dict(), before)


def test_long_lists_are_cut() -> None:
    state = {f"layer{i}.weight": torch.ones(1) for i in range(50)} | small().state_dict()
    with pytest.raises(InputError, match=r"layer0\.weight, .*layer3\.weight and 46 more"):
        models.load_state(small(), state, source="net.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_entries_that_are_not_finite(value: float) -> None:
    state = small(2).state_dict()
    state["1.running_var"] = torch.tensor([1.0, value, 1.0])
    model = small(2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["0.weight"] = torch.zeros(3, 1, 3, 3)
    with pytest.raises(InputError, match=r"net\.pt.*1\.running_var"):
        models.load_state(model, state, source="net.pt")
    assert equal(model.state_dict(), before)


def test_numbers_too_large_for_the_model() -> None:
    state = {name: t.double() if t.is_floating_point() else t for name, t in small().state_dict().items()}
    state["0.bias"] = torch.full((3,), 1e300, dtype=torch.float64)
    with pytest.raises(InputError, match=r"0\.bias"):
        models.load_state(small(), state, source="net.pt")


class Tied(nn.Module):
    """Two names of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.decode.weight = self.encode.weight


@pytest.mark.parametrize("kind", ["torch", "safetensors"])
def test_tied_parameters(kind: str, tmp_path: Path) -> None:
    trained, model = Tied(), Tied()
    if kind == "torch":
        torch.save(trained.state_dict(), tmp_path / "net")
    else:
        safetensors.torch.save_model(trained, str(tmp_path / "net"))  # writes the weight under one name
    models.load_state(model, models.read_checkpoint(tmp_path / "net"), source="net")
    assert torch.equal(model.decode.weight, trained.encode.weight)
    assert model.decode.weight is model.encode.weight


def test_a_wrapped_model_takes_its_own_checkpoint(tmp_path: Path) -> None:
    wrapped = nn.ModuleDict({"module": small(2)})
    torch.save(wrapped.state_dict(), tmp_path / "net.pt")
    other = nn.ModuleDict({"module": small(2)})
    nn.init.zeros_(other.get_parameter("module.0.weight"))
    models.load_state(other, models.read_checkpoint(tmp_path / "net.pt"), source="net.pt")
    assert equal(other.state_dict(), wrapped.state_dict())
