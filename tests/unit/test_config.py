import inspect
import re
from pathlib import Path

import pytest

from lossgrid.cli import compute
from lossgrid.errors import InputError
from lossgrid.settings import DirectionsConfig, RunConfig, read_toml, read_value, resolve
from lossgrid.surface import Axis


@pytest.mark.parametrize(("command", "kind"), [(compute.run, RunConfig), (compute.directions, DirectionsConfig)])
def test_options_of_the_command_line_are_the_keys_of_the_file(command: object, kind: type[RunConfig]) -> None:
    options = set(inspect.signature(command).parameters) - {"config"}  # type: ignore[arg-type]
    assert options == set(kind.model_fields)


def test_later_layers_win_and_arguments_are_merged() -> None:
    file = {"model": "mlp", "seed": 1, "model_arg": {"hidden": 3, "num_classes": 4}}
    given = {"seed": 2, "model_arg": {"hidden": 5}}
    config = resolve(RunConfig, file, given)
    assert config.seed == 2
    assert config.model_arg == {"hidden": 5, "num_classes": 4}


def test_toml_takes_dashes(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        'model = "mlp"\nbatch-size = 7\nalpha = "-1:1:5"\nsplits = ["train", "test"]\nto = "b.pt"\n'
        'checkpoint = "a.pt"\n[model-arg]\nhidden = [8, 8]\n'
    )
    config = resolve(RunConfig, read_toml(path))
    assert (config.batch_size, config.alpha) == (7, Axis(-1, 1, 5))
    assert config.splits == ("train", "test")
    assert config.to == (Path("b.pt"),)
    assert config.model_arg == {"hidden": [8, 8]}


def test_settings_survive_the_file() -> None:
    config = resolve(
        RunConfig,
        {"model": "mlp", "alpha": "-0.1:0.3:7", "beta": "0:1:2", "to": ["x.pt"], "checkpoint": "c.pt", "time_limit": 3},
    )
    assert RunConfig(**config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ["--model", "missing"]),
        ({"model": "mlp", "bach_size": 1}, ["bach_size", "batch-size"]),
        ({"model": "mlp", "zzz": 1}, ["zzz", "--help"]),
        ({"model": "mlp", "norm": "fliter"}, ["--norm", "fliter"]),
        ({"model": "mlp", "alpha": "1:0:3"}, ["--alpha", "MIN < MAX"]),
        ({"model": "mlp", "alpha": "x"}, ["--alpha", "MIN:MAX:N", "'x'"]),
        ({"model": "mlp", "batch_size": 0}, ["--batch-size", "auto or a number of at least 1", "0"]),
        ({"model": "mlp", "batch_size": "many"}, ["--batch-size", "'many'"]),
        ({"model": "mlp", "variant": "fast"}, ["--variant", "folded", "fast"]),
        ({"model": "mlp", "max_samples": 0}, ["--max-samples"]),
        ({"model": "mlp", "seed": -1}, ["--seed"]),
        ({"model": "mlp", "time_limit": -1}, ["--time-limit"]),
        ({"model": "mlp", "time_limit": float("nan")}, ["--time-limit"]),
        ({"model": "mlp", "device": "gpu"}, ["--device", "gpu"]),
        ({"model": "mlp", "splits": "train,train"}, ["--splits"]),
        ({"model": "mlp", "splits": "train,"}, ["--splits"]),
        ({"model": "mlp", "to": ["a"]}, ["--to", "--checkpoint"]),
        ({"model": "mlp", "checkpoint": "c", "to": ["a", "b"]}, ["--beta"]),
        ({"model": "mlp", "checkpoint": "c", "to": ["a", "b", "d"], "beta": "0:1:2"}, ["--to"]),
        ({"model": "mlp", "checkpoint": "c", "to": ["a"], "directions": "d.h5"}, ["--to", "--directions"]),
        ({"model": "mlp", "norm": "layer", "directions": "d.h5"}, ["--norm", "random directions"]),
    ],
)
def test_refusals_are_one_line_about_the_option(settings: dict[str, object], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        resolve(RunConfig, settings)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("content", [b"model = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_broken_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match="TOML"):
        read_toml(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("pad", "pad"),
        ('"4"', "4"),
        ("[1, 2]", [1, 2]),
        ("", ""),
        ("a=b", "a=b"),
    ],
)
def test_arguments_are_read_as_toml_or_text(text: str, value: object) -> None:
    assert read_value(text) == value


def test_identity_leaves_out_where_and_how_fast() -> None:
    one = resolve(RunConfig, {"model": "mlp", "out": "a.h5", "data": "cifar10:/here", "writer": "root"})
    two = resolve(RunConfig, {"model": "mlp", "out": "b.h5", "data": "cifar10:/there", "plot": True})
    three = resolve(RunConfig, {"model": "mlp", "data": "cifar10:/there", "batch_size": 64, "variant": "folded"})
    other = resolve(RunConfig, {"model": "mlp", "data": "cifar10:/there", "seed": 64})
    assert one.identity() == two.identity() == three.identity()
    assert two.identity() != other.identity()


@pytest.mark.parametrize(("command", "kind"), [(compute.run, RunConfig), (compute.directions, DirectionsConfig)])
def test_help_tells_the_defaults(command: object, kind: type[RunConfig]) -> None:
    parameters = inspect.signature(command, eval_str=True).parameters  # type: ignore[arg-type]
    told = {
        name: re.search(r"\(default ([^:;)]+(?::[^:;) ]+)*)", _help(parameters[name])) for name in kind.model_fields
    }
    found = {name: match[1].removeprefix("all") for name, match in told.items() if match}
    for name, text in found.items():
        if name == "max_samples":
            assert kind.model_fields[name].default is None
        else:
            default = kind.model_fields[name].default
            values = (default, ",".join(default) if isinstance(default, tuple) else None)
            assert text in map(str, values) or Axis.parse(text) == default
    assert {"data", "seed", "norm", "out"} <= found.keys()


def _help(parameter: inspect.Parameter) -> str:
    return str(parameter.annotation.__metadata__[0].help)
