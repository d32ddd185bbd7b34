"""Checkpoints of other number types, wrappers and modules: loaded as they are meant, or refused in one line."""

from __future__ import annotations

import logging
import re
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.torch_version import TorchVersion

from lossgrid import models
from lossgrid.directions import towards
from lossgrid.errors import InputError
from lossgrid.run.study import load_model
from lossgrid.settings import DirectionsConfig, RunConfig, resolve

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")  # people have networks with it


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(OrderedDict(features=nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), head=nn.Linear(3, 2)))


def saved(tmp_path: Path, content: Any) -> Path:
    torch.save(content, tmp_path / "net.pt")
    return tmp_path / "net.pt"


def refusal(model: nn.Module, state: Any, source: str = "net.pt") -> str:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if isinstance(tensor, torch.Tensor)}
    with pytest.raises(InputError) as caught:
        models.load_state(model, state, source=source)
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def with_entry(value: torch.Tensor, name: str = "head.bias") -> dict[str, torch.Tensor]:
    return {**net().state_dict(), name: value}


def quantised() -> torch.Tensor:
    with warnings.catch_warnings():  # torch leaves quantised tensors to another library
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("head.bias", torch.ones(2, dtype=torch.complex64), "is complex, and the network has float32"),
        ("head.bias", quantised(), r"is quantised; save tensor\."),
        ("head.bias", torch.ones(2).to_sparse(), "is sparse or nested; save tensor.to_dense"),
        ("head.bias", torch.empty(2, device="meta"), "has no values"),
        ("head.bias", torch.tensor([1e300, 0], dtype=torch.float64), "too large for the network's float32"),
        ("features.1.num_batches_tracked", torch.tensor(2.5), "such as 2.5, and the network has int64"),
        ("features.1.num_batches_tracked", torch.tensor(float("inf")), "such as inf"),
        ("features.1.num_batches_tracked", torch.tensor(2.0**63), "such as 9.22337e"),
        ("features.1.num_batches_tracked", torch.tensor(2**63, dtype=torch.uint64), "holds 9223372036854775808"),
        ("features.1.num_batches_tracked", torch.tensor(1j), "is complex"),
    ],
)
def test_numbers_the_network_cannot_hold_are_refused(name: str, value: torch.Tensor, words: str) -> None:
    text = refusal(net(), with_entry(value, name))
    assert name in text
    assert re.search(words, text)


@pytest.mark.parametrize(
    "value",
    [
        torch.tensor(7.0),
        torch.tensor(7, dtype=torch.uint8),
        torch.tensor(7, dtype=torch.uint64),
        torch.tensor(7.0).half(),
    ],
)
def test_whole_numbers_of_any_type_stay_what_they_are(value: torch.Tensor) -> None:
    model = net()
    models.load_state(model, with_entry(value, "features.1.num_batches_tracked"), source="net.pt")
    assert model.state_dict()["features.1.num_batches_tracked"] == 7


def test_more_digits_than_the_network_has_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    state = with_entry(torch.tensor([1 / 3, 1], dtype=torch.float64))
    with caplog.at_level(logging.WARNING):
        models.load_state(net(), state, source="net.pt")
    assert "holds more digits than the network's float32" in caplog.text
    assert "head.bias; --precision float64 keeps them" in caplog.text


@pytest.mark.parametrize(
    "value",
    [torch.tensor([2**24 + 1, 0]), torch.tensor([1 / 3, 1], dtype=torch.float64), torch.tensor([1e-60, 1]).double()],
)
def test_a_network_of_float64_keeps_all_digits(value: torch.Tensor, caplog: pytest.LogCaptureFixture) -> None:
    model = net().double()
    models.load_state(model, with_entry(value), source="net.pt")
    assert torch.equal(model.state_dict()["head.bias"], value.double())
    assert not caplog.text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e5m2, torch.bool, torch.int8])
def test_shorter_types_are_exact_and_need_no_word(dtype: torch.dtype, caplog: pytest.LogCaptureFixture) -> None:
    model = net()
    models.load_state(model, with_entry(torch.tensor([1.0, 0.0]).to(dtype)), source="net.pt")
    assert model.state_dict()["head.bias"].tolist() == [1, 0]
    assert not caplog.text


def test_float64_checkpoints_keep_their_digits_in_a_run_of_float64(tmp_path: Path) -> None:
    state = nn.Linear(2, 2, dtype=torch.float64).state_dict()
    path = saved(tmp_path, state)
    settings = {"model": "torch.nn:Linear", "checkpoint": path, "model_arg": {"in_features": 2, "out_features": 2}}
    model = load_model(resolve(RunConfig, settings | {"precision": "float64"}), {})
    assert torch.equal(model.state_dict()["weight"], state["weight"])
    assert load_model(resolve(DirectionsConfig, settings), {}).state_dict()["weight"].dtype == torch.float32


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, dtype=torch.complex64))


def test_complex_parameters_keep_their_imaginary_part() -> None:
    state, model = Complex().state_dict(), Complex()
    models.load_state(model, state, source="net.pt")
    assert torch.equal(model.weight, state["weight"])
    models.load_state(model, {"weight": torch.ones(3)}, source="net.pt")
    assert torch.equal(model.weight, torch.ones(3, dtype=torch.complex64))


class Counting(nn.Module):
    """Keeps a dict as its extra state."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.step = nn.Linear(2, 2), 0

    def get_extra_state(self) -> Any:
        return {"step": self.step}

    def set_extra_state(self, state: Any) -> None:
        self.step = state["step"]


def test_extra_state_is_set_by_the_module_itself(tmp_path: Path) -> None:
    other, model = Counting(), Counting()
    other.step = 3
    models.load_state(model, models.read_checkpoint(saved(tmp_path, other.state_dict())), source="net.pt")
    assert model.step == 3
    assert torch.equal(model.linear.weight, other.linear.weight)


def test_extra_state_does_not_move(tmp_path: Path) -> None:
    other, model = Counting(), Counting()
    other.step = 3
    direction = towards(models.read_checkpoint(saved(tmp_path, other.state_dict())), model, source="net.pt")
    assert set(direction) == {"linear.weight", "linear.bias"}
    assert model.step == 0


def test_extra_state_the_module_refuses_is_one_line(tmp_path: Path) -> None:
    text = refusal(Counting(), {**Counting().state_dict(), "_extra_state": 7})
    assert "loading it into the model raised" in text


@pytest.mark.parametrize("number", [np.float64(91.2), np.int32(3), np.bool_(True), np.ones(3), np.complex64(1j)])
def test_numbers_of_numpy_beside_the_weights_are_data(number: Any, tmp_path: Path) -> None:
    state = net().state_dict()
    read = models.read_checkpoint(saved(tmp_path, {"model_state_dict": state, "best_acc": number}))
    assert torch.equal(read["head.bias"], state["head.bias"])


def test_numbers_of_numpy_in_the_place_of_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds numbers of NumPy under 'head.bias'"):
        models.read_checkpoint(saved(tmp_path, {**net().state_dict(), "head.bias": np.ones(2)}))


def test_hooks_of_the_module_read_older_checkpoints() -> None:
    older = nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 4)))
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 4)))
    models.load_state(model, older.state_dict(), source="net.pt")
    inputs = torch.rand(3, 6)
    assert torch.allclose(model(inputs), older(inputs))


class Renaming(nn.Linear):
    """Has called its weight ``kernel`` until version 2."""

    _version = 2

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *others: Any) -> None:
        if metadata.get("version", 1) < 2:
            state[f"{prefix}weight"] = 2 * state.pop(f"{prefix}kernel")
        super()._load_from_state_dict(state, prefix, metadata, *others)


@pytest.mark.parametrize("wrapper", ["", "module."])
def test_a_module_sees_the_version_it_was_saved_with(wrapper: str, tmp_path: Path) -> None:
    model, other = nn.Sequential(Renaming(2, 2)), nn.Sequential(Renaming(2, 2))
    state = nn.DataParallel(other).state_dict() if wrapper else other.state_dict()
    models.load_state(model, models.read_checkpoint(saved(tmp_path, state)), source="net.pt")
    assert torch.equal(model[0].weight, other[0].weight)
    models.load_state(model, {"0.kernel": other[0].weight, "0.bias": other[0].bias}, source="net.pt")
    assert torch.equal(model[0].weight, 2 * other[0].weight)


@pytest.mark.parametrize(
    ("rename", "words"),
    [
        (lambda name: f"model.{name}", "all its names begin with 'model.': save it with name.removeprefix('model.')"),
        (lambda name: f"net.inner.{name}", "all its names begin with 'net.inner.'"),
        (lambda name: name.replace("features.", "features.module."), "left 'module.' in its names"),
        (lambda name: name.replace("head.", "head._orig_mod."), "left '_orig_mod.' in its names"),
        (lambda name: f"x{name}", "it is of another network, or of one whose entries have other names"),
    ],
)
def test_other_names_are_explained(rename: Any, words: str) -> None:
    assert words in refusal(net(), {rename(name): value for name, value in net().state_dict().items()})


def test_a_model_with_a_prefix_of_its_own_is_explained() -> None:
    model = nn.ModuleDict({"inner": net()})
    assert "all names of the model begin with 'inner.'" in refusal(model, net().state_dict())


@pytest.mark.parametrize("source", ["model-00001-of-00002.safetensors", "pytorch_model-2-of-12.bin"])
def test_one_shard_of_several_is_explained(source: str) -> None:
    state = {name: value for name, value in net().state_dict().items() if name.startswith("head")}
    assert "it is one of several files (shards)" in refusal(net(), state, source=source)


def test_the_index_of_shards_is_explained(tmp_path: Path) -> None:
    for text in ('{"weight_map": {}}', '{\n  "metadata": {}}', '  {"weight_map": {}}'):
        (tmp_path / "model.safetensors.index.json").write_text(text)
        with pytest.raises(InputError, match="index of shards"):
            models.read_checkpoint(tmp_path / "model.safetensors.index.json")


@pytest.mark.parametrize("key", ["params", "weights", "generator"])
def test_weights_under_an_unknown_key_are_named(key: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"holds weights under '{key}'.*torch.save\(checkpoint\['{key}'\], FILE\)"):
        models.read_checkpoint(saved(tmp_path, {key: net().state_dict(), "acc": 91.2, "epoch": 3}))


@pytest.mark.parametrize("keys", [("state_dict", "state_dict_ema"), ("model", "model_ema"), ("model", "ema")])
def test_weights_that_are_not_taken_are_told_of(
    keys: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        models.read_checkpoint(saved(tmp_path, dict.fromkeys(keys, net().state_dict())))
    assert f"under '{keys[0]}', which are taken, and under '{keys[1]}'" in caplog.text


def test_old_torch_reads_no_file_of_torch_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors.torch

    path = saved(tmp_path, net().state_dict())
    safetensors.torch.save_file(net().state_dict(), tmp_path / "net.safetensors")
    for version in ("2.4.0", "2.9.1+cpu"):
        monkeypatch.setattr(torch, "__version__", TorchVersion(version))
        with pytest.raises(
            InputError, match=r"does not read safely; install torch 2.10 or later, or save it as safetens"
        ):
            models.read_checkpoint(path)
        assert models.read_checkpoint(tmp_path / "net.safetensors")
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.10.0+cu130"))
    assert models.read_checkpoint(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: nn.Sequential(nn.LazyLinear(8), nn.Tanh()),
            "0.weight has no shape yet .a lazy module.; run one batch",
        ),
        (lambda: nn.LazyBatchNorm1d(), "has no shape yet"),
        (lambda: nn.Linear(2, 2, device="meta"), "has no values, as it is on the device meta"),
        (lambda: nn.Sequential(nn.Linear(2, 2), torch.jit.script(nn.Linear(2, 2))), "is TorchScript"),
        (lambda: torch.jit.script(nn.Linear(2, 2)), "is TorchScript, whose parameters cannot move; give the module"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_networks_that_cannot_move_are_refused(make: Any, words: str) -> None:
    for refuse in (models.check_module, models.copy_of):
        with pytest.raises(InputError, match=words):
            refuse(make(), name="mine")


def test_buffers_that_are_no_ordinary_tensors_are_refused() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("table", torch.eye(2).to_sparse())
    with pytest.raises(InputError, match="table is no ordinary tensor"):
        models.check_module(model, name="mine")


def test_networks_whose_hooks_compute_weights_are_copied() -> None:
    model = nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 4)), nn.Tanh(), nn.utils.spectral_norm(nn.Linear(4, 4)))
    model.eval()
    copy, inputs = models.copy_of(model, name="mine"), torch.rand(3, 6)
    assert torch.equal(copy(inputs), model(inputs))
    with torch.no_grad():
        copy[0].weight_g.zero_()
    assert not torch.equal(copy(inputs), model(inputs))


@pytest.mark.parametrize("what", [(x for x in ()), __import__("threading").Lock()])
def test_networks_that_cannot_be_copied_are_one_line(what: Any) -> None:
    model = nn.Linear(2, 2)
    model.held = what  # type: ignore[assignment]
    with pytest.raises(InputError, match=r"model mine cannot be copied .TypeError: cannot pickle"):
        models.copy_of(model, name="mine")
