"""Lazy modules get their shapes from a few samples; kinds of modules that cannot move are one line."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.parameter import is_lazy

import lossgrid
from lossgrid import cli, models, store
from lossgrid.errors import InputError
from tests.builders import a_batch
from tests.refusals import refusal_of

REFERENCE = "tests.unit.test_lazy"


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.Tanh(), nn.LazyLinear(10))


def convolution() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))


def eager() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 10))


def broken() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.Linear(7, 10))


def run(model: str, out: Path, *more: str) -> int:
    settings = ("--alpha", "0:1:2", "--max-samples", "50", "--out", str(out))
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--model", f"{REFERENCE}:{model}", *settings, *more])
    return int(ended.value.code or 0)


def test_a_checkpoint_is_that_of_the_settled_network(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = eager()
    model[2].running_mean.normal_()
    torch.save(model.state_dict(), tmp_path / "net.pt")
    for name in ("perceptron", "eager"):
        assert run(name, tmp_path / f"{name}.h5", "--checkpoint", str(tmp_path / "net.pt")) == 0
    one, two = (store.read(tmp_path / f"{name}.h5") for name in ("perceptron", "eager"))
    assert one.origin.digests == two.origin.digests
    np.testing.assert_array_equal(one["train_loss"], two["train_loss"])


@pytest.mark.parametrize("name", ["perceptron", "convolution"])
def test_weights_of_a_new_network_are_those_of_its_seed(name: str, tmp_path: Path) -> None:
    surfaces = []
    for seed, out in (("1", "a.h5"), ("1", "b.h5"), ("2", "c.h5")):
        assert run(name, tmp_path / out, "--model-seed", seed) == 0
        surfaces.append(store.read(tmp_path / out)["train_loss"])
    np.testing.assert_array_equal(surfaces[0], surfaces[1])
    assert not np.array_equal(surfaces[0], surfaces[2])


def test_direction_files_of_lazy_networks(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["directions", "--model", f"{REFERENCE}:convolution", "--out", str(tmp_path / "d.h5")])
    assert not ended.value.code
    assert store.read_directions(tmp_path / "d.h5")[0].arrays[0].shape == (4, 1, 3, 3)


def test_lazy_networks_given_in_python_stay_lazy_and_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    model, data = nn.Sequential(nn.LazyLinear(5), nn.LazyLinear(3)), a_batch(20, 6, classes=3)
    one, two = (lossgrid.evaluate(model, data, alpha=(0, 1, 2), move="0.*") for _ in range(2))
    np.testing.assert_array_equal(one["train_loss"], two["train_loss"])
    assert all(is_lazy(entry) for entry in model.parameters())
    assert "their weights are random" in caplog.text


def test_lazy_networks_that_do_not_fit_are_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("broken", tmp_path / "s.h5") == 2
    said = capfd.readouterr().err.splitlines()[-1]
    assert "run once for the shapes of its lazy modules, raised RuntimeError: mat1 and mat2 shapes" in said
    assert not (tmp_path / "s.h5").exists()


def scripted() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))


def traced() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(nn.Linear(4, 2), torch.ones(1, 4))


def dynamic() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 2)), {nn.Linear})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (scripted, "is TorchScript, whose parameters cannot move; give the module it was made of"),
        (traced, "is TorchScript"),
        (dynamic, "quantised modules keep others: give the float network"),
    ],
)
def test_kinds_of_modules_that_cannot_move(make: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises(InputError) as caught:
        lossgrid.evaluate(make(), a_batch(8, 4, classes=2), alpha=(0, 1, 2))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [scripted, traced])
def test_programs_of_torchscript_are_no_checkpoints(make: Callable[[], Any], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make().save(str(tmp_path / "net.pt"))
    assert "holds a TorchScript program, which is not loaded as it could run code" in refusal_of(tmp_path / "net.pt")


def test_checkpoints_of_quantised_networks_are_named(tmp_path: Path) -> None:
    torch.save(dynamic().state_dict(), tmp_path / "net.pt")
    line = refusal_of(tmp_path / "net.pt")
    assert "of a quantised network: give the checkpoint of the network it was made of" in line


def test_lazy_entries_are_refused_where_nothing_settles_them() -> None:
    with pytest.raises(InputError, match="has no shape yet"):
        models.check_module(perceptron(), name="mine")
    models.check_module(perceptron(), name="mine", lazy=True)
    assert is_lazy(next(models.copy_of(perceptron(), name="mine", lazy=True).parameters()))
