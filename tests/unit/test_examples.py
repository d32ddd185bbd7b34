"""The examples in docstrings are right, in all modules; what the pages import is there."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import lossgrid
from tests.conftest import ROOT

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(lossgrid.__path__, "lossgrid.")
    if module.name != "lossgrid.__main__"
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        pytest.skip("NOT RUN: there is no Triton")  # it comes with torch for CUDA
    monkeypatch.chdir(tmp_path)  # what an example writes
    result = doctest.testmod(module)
    assert result.failed == 0
    written = re.findall(r"^ *>>> ", Path(str(module.__file__)).read_text(), re.MULTILINE)
    assert result.attempted == len(written)  # none is where doctest does not look


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_pages_import_what_is_there(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        names: dict[str, object] = {}
        for statement in ast.parse(block).body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                exec(compile(ast.Module([statement], []), str(page), "exec"), names)
        for used in re.findall(r"\b(lossgrid|numbers)\.(\w+)", block):
            assert hasattr(names[used[0]], used[1]), used
