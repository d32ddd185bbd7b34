"""Options with values no run can have: each is one line that names the option."""

import math
import os
import socket
from pathlib import Path

import pytest

from lossgrid import cli
from lossgrid.errors import InputError
from lossgrid.settings import RunConfig, resolve
from lossgrid.surface import Axis


@pytest.mark.parametrize("value", [0.0, 0.05, 3])
def test_the_greatest_rounding_is_zero_or_more_and_may_change_on_resume(value: float) -> None:
    config = resolve(RunConfig, {"model": "mlp", "max_rounding": value})
    assert config.max_rounding == value
    assert config.identity() == resolve(RunConfig, {"model": "mlp"}).identity()


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "much"])
def test_a_greatest_rounding_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="--max-rounding"):
        resolve(RunConfig, {"model": "mlp", "max_rounding": value})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"modle": "mlp"}, "unknown key 'modle'; did you mean 'model'?"),
        ({"run": {"model": "mlp"}}, "unknown key 'run'; settings stand at the top, under no [table]"),
        ({"model": "mlp", "norm": "fliter"}, "--norm: expected 'filter', 'layer', 'weight' or 'none', got 'fliter'"),
        ({"model": "mlp", "alpha": [1, 2]}, "--alpha: expected MIN:MAX:N such as -1:1:51, got [1, 2]"),
        ({"model": "mlp", "alpha": {"min": 1}}, "--alpha: expected MIN:MAX:N such as -1:1:51, got {'min': 1}"),
        ({"model": "mlp", "seed": 2**70}, f"--seed: expected at most {2**63 - 1}, got {2**70}"),
        ({"model": "mlp", "seed": 0.5}, "--seed: expected a whole number, got 0.5"),
        ({"model": "mlp", "time_limit": "soon"}, "--time-limit: expected a number, got 'soon'"),
        ({"model": "mlp", "time_limit": math.inf}, "--time-limit: expected a finite number, got inf"),
        ({"model": "mlp", "plot": "perhaps"}, "--plot: expected true or false, got 'perhaps'"),
        ({"model": "mlp", "model_arg": 3}, "--model-arg: expected a table of K = V, got 3"),
        ({"model": ""}, "--model: expected a name, got ''"),
        ({"model": 3}, "--model: expected a text, got 3"),
        ({"model": "\ud800"}, "--model: expected a text of characters that can be written"),
        ({"model": "mlp", "checkpoint": 3}, "--checkpoint: expected a path, got 3"),
        (
            {"model": "mlp", "checkpoint": "a\0b"},
            "--checkpoint: expected a path, got a b, which holds a null character",
        ),
        ({"model": "mlp", "checkpoint": "\ud800"}, "--checkpoint: expected a path"),
        ({"model": "mlp", "checkpoint": "x" * 256}, "--checkpoint: the name is too long: expected at most 255 bytes"),
        ({"model": "mlp", "directions": "x\0"}, "--directions: expected a path"),
        ({"model": "mlp", "out": "x" * 230}, "--out: the name is too long: expected at most 225 bytes"),
        ({"model": "mlp", "out": "/"}, "--out: expected the name of a file, got '/'"),
        ({"model": "mlp", "out": "a/.."}, "--out: expected the name of a file, got 'a/..'"),
        ({"model": "mlp", "save_directions": "."}, "--save-directions: expected the name of a file, got '.'"),
        ({"model": "mlp", "batch_size": "9" * 30}, "--batch-size: expected auto or a number of at least 1"),
        ({"model": "mlp", "alpha": "0:1e39:5"}, "--alpha: float32 ends at 3.4e+38, got 0.0:1e+39:5"),
        ({"model": "mlp", "beta": "-1e300:1:5"}, "--beta: float32 ends at 3.4e+38"),
    ],
)
def test_settings_that_cannot_be_are_told_in_words_of_options(settings: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(RunConfig, settings)
    assert words in str(caught.value)
    assert "Input should be" not in str(caught.value)


def test_a_range_is_also_a_list_of_three_numbers() -> None:
    assert resolve(RunConfig, {"model": "mlp", "alpha": [-1, 1, 5]}).alpha == Axis(-1.0, 1.0, 5)
    assert resolve(RunConfig, {"model": "mlp", "alpha": "0:1e39:5", "precision": "float64"}).alpha.maximum == 1e39


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--alhpa", "0:1:2"], "no such option: --alhpa; did you mean --alpha?"),
        (["run", "--zzzzz"], "no such option: --zzzzz; see --help"),
        (["run", "--seed", "one"], "'--seed': expected a whole number"),
        (["run", "--time-limit", "soon"], "expected a number"),
        (
            ["plot", "x.h5", "--kind", "../x"],
            "--kind: expected one of line, contourf, contour, heat, surface, got '../x'",
        ),
        (["plot", "x.h5", "--format", "/"], "--format: expected one of png, pdf, svg, eps, jpg, got '/'"),
    ],
)
def test_typing_errors_are_told_with_what_was_meant(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", ["fifo", "folder", "socket", "/dev/zero", "/dev/null", "absent", "loop"])
@pytest.mark.parametrize("option", ["--config", "--checkpoint"])
def test_names_that_are_no_files_neither_hang_nor_are_read(
    option: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket")
    with pytest.raises(SystemExit) as ended:
        cli.main(["directions", "--model", "mlp", option, name])
    assert ended.value.code == 2
    assert name in capsys.readouterr().err
