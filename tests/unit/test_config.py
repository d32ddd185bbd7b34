import inspect
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from lossgrid.cli import compute
from lossgrid.cli.app import EXAMPLES
from lossgrid.cli.options import takes
from lossgrid.errors import InputError
from lossgrid.settings import DirectionsConfig, RunConfig, TrainConfig, read_toml, read_value, resolve
from lossgrid.settings.option import GROUPS, Role, about, default_of, is_flag, names_of
from lossgrid.settings.table import page
from lossgrid.surface import Axis
from tests.conftest import ROOT

VERBS = {compute.run: RunConfig, compute.directions: DirectionsConfig, compute.train: TrainConfig}


@pytest.mark.parametrize(("command", "kind"), VERBS.items(), ids=lambda part: part.__name__)
def test_options_are_the_fields_of_the_settings(command: Any, kind: type[BaseModel]) -> None:
    parameters = inspect.signature(command).parameters
    flags = {f"no_{name}" for name, field in kind.model_fields.items() if is_flag(field)}
    assert set(parameters) == {*kind.model_fields, *flags, "config"}
    for name, field in kind.model_fields.items():
        declared = parameters[name].annotation.__metadata__[0]
        assert declared.help.endswith(".")
        assert default_of(field) in declared.help
        assert declared.rich_help_panel in GROUPS
        assert is_flag(field) or declared.metavar


def test_the_page_of_options_is_that_of_the_settings() -> None:
    assert (ROOT / "docs" / "options.md").read_text() == page(), "python -m lossgrid.settings.table > docs/options.md"


@pytest.mark.slow
@pytest.mark.parametrize("verb", sorted(EXAMPLES))
@pytest.mark.parametrize("columns", ["80", "200"])
def test_no_option_is_cut_in_the_help(verb: str, columns: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lossgrid", verb, "--help"], env={**os.environ, "COLUMNS": columns},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "--" in done.stdout
    assert "\N{HORIZONTAL ELLIPSIS}" not in done.stdout
    assert f"lossgrid {verb}" in done.stdout.partition("Example")[2]


def test_the_version_is_told() -> None:
    done = subprocess.run([sys.executable, "-m", "lossgrid", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"lossgrid {version('lossgrid')}\n"


def test_a_flag_of_a_file_is_switched_off(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('model = "mlp"\nplot = true\noverwrite = true\n')
    found: list[RunConfig] = []

    @takes(RunConfig)
    def verb(settings: RunConfig) -> int:
        found.append(settings)
        return 0

    nothing = dict.fromkeys(inspect.signature(verb).parameters) | {"config": tmp_path / "run.toml"}
    verb(**nothing)
    verb(**(nothing | {"no_plot": True}))
    verb(**(nothing | {"no_plot": True, "plot": True, "no_overwrite": False}))
    assert [(one.plot, one.overwrite) for one in found] == [(True, True), (False, True), (False, True)]


@pytest.mark.parametrize("kind", VERBS.values(), ids=lambda kind: kind.__name__)
def test_every_setting_has_a_role(kind: type[BaseModel]) -> None:
    assert {about(field).role for field in kind.model_fields.values()} <= set(get_args(Role))
    assert names_of(kind, *get_args(Role)) == set(kind.model_fields)


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
