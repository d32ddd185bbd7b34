"""``lossgrid status --config``: the settings of a surface, with which a run computes it again, to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest

from lossgrid import store
from lossgrid.settings import read_toml
from tests.system.conftest import Inside, assert_same_bytes

pytestmark = pytest.mark.beside

NAME = "größe \"a\" 'b' # 1.h5"
PLANE = ("--alpha=-1:1:4", "--beta=-0.5:0.25:3", "--splits", "train,test")
MODEL = ("--model", "mlp", "--model-arg", "hidden=[7, 5]", "--model-seed", "4", "--seed", "5", "--norm", "layer")


def told(inside: Inside, file: str) -> str:
    """Return what ``status --config`` prints."""
    done = inside("status", file, "--config")
    assert (done.returncode, done.stderr) == (0, "")
    return str(done.stdout)


def refusal(inside: Inside, *options: str) -> str:
    """Return the one line of a refusal."""
    done = inside("status", *options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    return str(done.stderr).removeprefix("lossgrid: error: ").rstrip()


@pytest.mark.parametrize("more", [(), ("--metric", "top2", "--loss", "users:slow_loss", "--batch-size", "30")])
def test_a_run_of_the_settings_gives_the_same_bits(
    inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SECONDS_PER_POINT", "0")
    done = inside("run", *MODEL, *PLANE, *more, "--overwrite", "--out", NAME)
    assert done.returncode == 0, done.stderr
    (tmp_path / "c.toml").write_text(told(inside, NAME), encoding="utf-8")
    assert read_toml(tmp_path / "c.toml").items() >= {
        "model": "mlp", "model_arg": {"hidden": [7, 5]}, "alpha": "-1.0:1.0:4", "beta": "-0.5:0.25:3", "norm": "layer",
        "splits": ["train", "test"], "model_seed": 4, "seed": 5, "out": NAME,
    }.items()  # fmt: skip
    assert "overwrite" not in read_toml(tmp_path / "c.toml")
    done = inside("run", "--config", "c.toml", "--out", "other.h5")
    assert done.returncode == 0, done.stderr
    assert_same_bytes(tmp_path / NAME, tmp_path / "other.h5")
    there, now = (store.read(tmp_path / name).origin.recipe.told() | {"about": ""} for name in (NAME, "other.h5"))
    assert there == now
    content = (tmp_path / NAME).read_bytes()
    again = inside("run", "--config", "c.toml")
    assert again.returncode == 0, again.stderr
    assert "0 of 12 points are pending" in again.stderr
    assert (tmp_path / NAME).read_bytes() == content


def test_directions_of_a_file_are_taken_again(inside: Inside, tmp_path: Path) -> None:
    line = (*MODEL[:6], "--alpha=-1:1:3")
    done = inside("run", *line, "--seed", "5", "--save-directions", "d.h5", "--out", "a.h5")
    assert done.returncode == 0, done.stderr
    done = inside("run", *line, "--directions", "d.h5", "--out", "b.h5")
    assert done.returncode == 0, done.stderr
    (tmp_path / "c.toml").write_text(told(inside, "b.h5"), encoding="utf-8")
    assert read_toml(tmp_path / "c.toml")["directions"] == "d.h5"
    assert "seed" not in read_toml(tmp_path / "c.toml")
    done = inside("run", "--config", "c.toml", "--out", "other.h5")
    assert done.returncode == 0, done.stderr
    assert_same_bytes(tmp_path / "a.h5", tmp_path / "other.h5")


def test_a_merged_surface_has_settings_where_its_axes_are_those_of_a_run(inside: Inside, tmp_path: Path) -> None:
    for name, alpha in (("a.h5", "-1:0:3"), ("b.h5", "0.5:1:2"), ("c.h5", "0.1:0.2:2")):
        assert inside("run", *MODEL, f"--alpha={alpha}", "--out", name).returncode == 0
    assert inside("merge", "a.h5", "b.h5", "--out", "even.h5").returncode == 0
    assert inside("merge", "a.h5", "c.h5", "--out", "uneven.h5").returncode == 0
    (tmp_path / "c.toml").write_text(told(inside, "even.h5"), encoding="utf-8")
    done = inside("run", "--config", "c.toml", "--out", "other.h5")
    assert done.returncode == 0, done.stderr
    assert_same_bytes(tmp_path / "even.h5", tmp_path / "other.h5")
    assert refusal(inside, "uneven.h5", "--config") == (
        "uneven.h5 was merged, and its coordinates are not equally spaced, as those of a run are; ask the files it was "
        "merged from"
    )


def test_surfaces_whose_settings_nobody_knows_are_refused(inside: Inside, tmp_path: Path) -> None:
    assert inside("run", *MODEL, "--alpha=-1:1:3", "--out", "a.h5").returncode == 0
    assert inside("export", "a.h5", "--to", "loss-landscape", "--out", "r.h5").returncode == 0
    assert inside("import", "r.h5", "--out", "imported.h5").returncode == 0
    assert refusal(inside, "imported.h5", "--config") == (
        "imported.h5 was imported from a file of another tool, which does not tell its settings"
    )
    assert refusal(inside, "a.h5", "--config", "--json") == "--config is TOML and --json is not; give one of them"
    for name, value, words in (
        ("data", "given", "f.h5 was computed from Python, of a network and data that no settings name"),
        ("later", 1, "f.h5 has settings that this lossgrid does not take: unknown key 'later'; did you mean 'label'?"),
        ("model_arg", {"x": None}, "model_arg cannot be written as TOML: it holds null"),
    ):
        (tmp_path / "f.h5").write_bytes((tmp_path / "a.h5").read_bytes())
        with h5py.File(tmp_path / "f.h5", "r+") as file:
            file.attrs["config"] = json.dumps({**json.loads(file.attrs["config"]), name: value})
            file.attrs["digest"] = file.attrs["digest"][:0]
        assert refusal(inside, "f.h5", "--config") == words


def test_settings_of_a_file_of_version_1_draw_its_directions(inside: Inside, tmp_path: Path) -> None:
    path = Path(__file__).parents[1] / "data" / "version1" / "whole.h5"
    (tmp_path / "whole.h5").write_bytes(path.read_bytes())
    (tmp_path / "c.toml").write_text(told(inside, "whole.h5"), encoding="utf-8")
    settings = read_toml(tmp_path / "c.toml")
    assert (settings["direction_version"], settings["model_seed"], settings["seed"]) == (1, 3, 3)
    done = inside("run", "--config", "c.toml")
    assert done.returncode == 0, done.stderr
    assert "0 of 5 points are pending" in done.stderr
