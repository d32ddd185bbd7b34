"""Where directions come from: one precedence, sources of users, and what they may not return."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lossgrid
from lossgrid.directions import Around, OfFile, OfUser, Random, Towards, gaussian, parameters, source_of
from lossgrid.directions.registry import SOURCES
from lossgrid.errors import InputError
from lossgrid.parallel import alone
from lossgrid.run import Budget, run
from lossgrid.settings import DirectionsConfig, ModelConfig, RunConfig, resolve

REFERENCE = "tests.unit.test_direction_sources"


def ones(around: Around, axes: int) -> list[dict[str, torch.Tensor]]:
    """Move every parameter alike, along eta the other way."""
    theta = parameters(around.model)
    return [{name: (1 - 2 * axis) * torch.ones_like(tensor) for name, tensor in theta.items()} for axis in range(axes)]


def by_the_data(around: Around, axes: int) -> list[dict[str, torch.Tensor]]:
    """Move the weight of a linear layer by the mean of the data: what only a source that sees them can do."""
    (split,) = around.splits.values()
    assert split.tensors is not None
    mean = split.tensors[0].flatten(1).mean(dim=0)
    return [{"1.weight": mean.expand(10, -1).clone()}] * axes


def linear(in_features: int, num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(in_features, num_classes))


def settings(**changes: Any) -> RunConfig:
    return resolve(RunConfig, {"model": f"{REFERENCE}:linear", "alpha": "-1:1:3", "max_samples": 60, **changes})


def test_one_precedence_for_the_command_line_and_python(tmp_path: Path) -> None:
    file = tmp_path / "d.h5"
    plain = resolve(ModelConfig, {"model": "mlp", "seed": 3, "norm": "layer"})
    assert source_of(plain) == Random(3, "layer")
    assert source_of(resolve(ModelConfig, {"model": "mlp", "directions": str(file)})) == OfFile(file)
    towards = source_of(resolve(ModelConfig, {"model": "mlp", "checkpoint": "a.pt", "to": ["b.pt"], "seed": 3}))
    assert towards == Towards([("b.pt", Path("b.pt"))], Random(3))
    named = source_of(resolve(ModelConfig, {"model": "mlp", "directions": f"{REFERENCE}:ones"}))
    assert named == OfUser(ones, f"{REFERENCE}:ones")
    assert source_of(plain, directions=ones) == OfUser(ones, "ones")
    assert source_of(plain, directions=ones, to=[("to[0]", file)]) == Towards([("to[0]", file)], Random(3, "layer"))


def test_a_file_whose_name_looks_like_a_function_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a:b").touch()
    assert source_of(resolve(ModelConfig, {"model": "mlp", "directions": "a:b"})) == OfFile(Path("a:b"))


@pytest.mark.parametrize("source", [ones, by_the_data])
def test_a_source_of_a_user_moves_the_network(source: Any, tmp_path: Path) -> None:
    config = settings(directions=f"{REFERENCE}:{source.__name__}", beta="0:1:2", out=tmp_path / "s.h5", model_seed=5)
    assert run(config, alone(), Budget())
    surface = lossgrid.open(tmp_path / "s.h5")
    assert run(config, alone(), Budget())  # which finds the same directions again
    torch.manual_seed(5)
    model = linear(64, 10)
    given = lossgrid.evaluate(model, _digits(), alpha=(-1, 1, 3), beta=(0, 1, 2), directions=source)
    np.testing.assert_array_equal(surface["train_loss"], given["train_loss"])
    assert surface.config["directions"] == f"{REFERENCE}:{source.__name__}"


def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    from lossgrid import data

    tensors = data.load("digits", {}, splits=("train",), max_samples=60)["train"].tensors
    assert tensors is not None
    return tensors


def nothing(around: Around, axes: int) -> None:
    """Forget to return anything."""


def too_few(around: Around, axes: int) -> list[dict[str, torch.Tensor]]:
    return ones(around, axes)[: axes - 1]


def of_others(around: Around, axes: int) -> list[dict[str, torch.Tensor]]:
    return [{"conv1.weight": torch.ones(3)}] * axes


def broken(around: Around, axes: int) -> list[dict[str, torch.Tensor]]:
    raise ValueError("no such eigenvector")


def still(around: Around, axes: int) -> list[dict[str, torch.Tensor]]:
    return [{name: torch.zeros_like(tensor) for name, tensor in parameters(around.model).items()}] * axes


def infinite(around: Around, axes: int) -> list[dict[str, torch.Tensor]]:
    return [{"1.bias": torch.full((10,), torch.inf)}] * axes


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (nothing, "expected a list of 1 dicts of tensors, got a NoneType"),
        (too_few, "holds 0, and the grid has 1 axes"),
        (of_others, "this one has no 'conv1.weight'"),
        (broken, "ValueError: no such eigenvector"),
        (still, "the direction of alpha moves nothing"),
        (infinite, "that are not finite"),
    ],
)
def test_what_is_no_direction_is_refused_before_anything_is_made(source: Any, words: str, tmp_path: Path) -> None:
    out = tmp_path / "s.h5"
    with pytest.raises(InputError) as caught:
        run(settings(directions=f"{REFERENCE}:{source.__name__}", out=out), alone(), Budget())
    assert words in str(caught.value)
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"{REFERENCE}:absent", "no function 'absent'"),
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("os:system", "standard library"),
    ],
)
def test_a_source_that_is_not_there_is_named(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="direction source") as caught:
        run(settings(directions=name, out=tmp_path / "s.h5"), alone(), Budget())
    assert words in str(caught.value)


def test_a_new_kind_of_direction_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(SOURCES, "ones", lambda config: OfUser(ones, "ones"))
    assert run(settings(directions="ones", out=tmp_path / "s.h5"), alone(), Budget())
    assert lossgrid.open(tmp_path / "s.h5").complete


def test_direction_files_of_users_sources_see_the_data(tmp_path: Path) -> None:
    from lossgrid import store
    from lossgrid.run.axes import write_direction_file

    config = {"model": f"{REFERENCE}:linear", "directions": f"{REFERENCE}:by_the_data", "axes": 1}
    write_direction_file(resolve(DirectionsConfig, {**config, "out": tmp_path / "d.h5"}), alone())
    (made,) = store.read_directions(tmp_path / "d.h5")
    from lossgrid import data

    inputs, _ = data.load("digits", {}, splits=("train",), max_samples=None)["train"].tensors  # type: ignore[misc]
    np.testing.assert_allclose(made.arrays[0][0], inputs.flatten(1).mean(dim=0).numpy(), rtol=1e-6)


def test_random_sources_draw_what_gaussian_draws() -> None:
    model = linear(64, 10)
    (made,) = Random(7, "none").make(Around(model, {}, alone()), 1)
    drawn = gaussian(parameters(model), seed=7, axis=0)
    assert made.keys() == drawn.keys()
    assert all(torch.equal(made[name], drawn[name]) for name in drawn)
