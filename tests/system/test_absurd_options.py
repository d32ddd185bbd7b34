"""Every option and file of every verb with values that make no sense: done, or refused in one line."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from lossgrid import cli, models
from lossgrid.cli.app import program

pytestmark = pytest.mark.beside

TEXTS = ["", "1e400", "nan", "-1", "10" * 200, str(2**70), "x" * 5000, "\udcff\udc80", "a\x1b[31mb\n\nc", "=", "a=[["]
TEXTS += ["os:system", "1:2:3", "-1:1:99999999999999", "-1.7e308:1.7e308:5", ",,", "/"]
PATHS = ["", "\udcff\udc80", "a\x1b[31mb\n\nc", "/", ".", "..", "fifo", "folder", "dangling", "loop", "socket"]
PATHS += ["/dev/zero", "/dev/full", "/proc/self/mem", "a/" * 2500, "y" * 256]
OF_FILES = {"file", "out", "checkpoint", "to", "config", "directions", "save_directions"}
GIVEN = {
    "run": ["--model", "mlp", "--alpha", "0:0:1", "--max-samples", "4", "--checkpoint", "mlp.pt", "--overwrite"],
    "directions": ["--model", "mlp", "--overwrite"],
    "status": ["line.h5"],
    "plot": ["line.h5", "--overwrite", "--kind", "line"],
    "merge": ["line.h5", "line.h5", "--out", "merged.h5", "--overwrite"],
    "export": ["line.h5", "--to", "csv", "--overwrite"],
    "import": ["line.h5", "--out", "imported.h5"],
    "train": ["--model", "mlp", "--max-samples", "4", "--epochs", "1", "--out", "trained"],
    "compare": ["line.h5", "--json"],
}
VERBS: dict[str, Any] = typer.main.get_command(program()).commands  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a line, a checkpoint, and names that are no files."""
    path = tmp_path_factory.mktemp("absurd")
    before = Path.cwd()
    os.chdir(path)
    torch.save(models.build("mlp", {"in_features": 64}, facts={}).state_dict(), "mlp.pt")
    with pytest.raises(SystemExit):
        cli.main(["run", "--model", "mlp", "--alpha", "-1:1:3", "--max-samples", "10", "--out", "line.h5"])
    os.mkfifo("fifo")
    Path("folder").mkdir()
    Path("dangling").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket")
    os.chdir(before)
    return path


def cases() -> list[Any]:
    return [
        pytest.param(verb, parameter, id=f"{verb} {parameter.opts[-1]}")
        for verb, command in VERBS.items()
        if verb in GIVEN
        for parameter in command.params
        if parameter.name != "help" and not getattr(parameter, "is_flag", False)
    ]


@pytest.mark.parametrize(("verb", "parameter"), cases())
def test_absurd_values_are_taken_or_refused_in_one_line(
    verb: str, parameter: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    given, values = list(GIVEN[verb]), PATHS if parameter.name in OF_FILES else TEXTS
    if parameter.param_type_name == "argument":
        given = [part for part in given if part != "line.h5"]
    elif parameter.opts[0] in given:
        at = given.index(parameter.opts[0])
        del given[at : at + 2]
    for value in values:
        one = ["--", value] if parameter.param_type_name == "argument" else [f"{parameter.opts[-1]}={value}"]
        with pytest.raises(SystemExit) as ended:
            cli.main([verb, *given, *one])
        said = capfd.readouterr().err
        assert ended.value.code in (0, 2), (value[:40], said)
        assert "Traceback" not in said, value[:40]
        lines = [line for line in said.splitlines() if "error: " in line]
        assert len(lines) == (1 if ended.value.code == 2 else 0), (value[:40], said)
        assert all(len(line) < 2500 for line in lines)
        for left in ("trained", "training"):
            shutil.rmtree(left, ignore_errors=True)
    assert Path("fifo").is_fifo()
    assert Path("dangling").is_symlink()
