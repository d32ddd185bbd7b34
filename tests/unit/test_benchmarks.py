"""Benchmarks run by hand alone; what they import of lossgrid and of the tests must be there."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted((ROOT / "benchmarks").rglob("*.py"))


def imported(program: Path) -> list[tuple[str, str]]:
    """Return module and name of all that a program imports from packages of this repository."""
    nodes = ast.walk(ast.parse(program.read_text()))
    found = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    ours = [node for node in found if str(node.module).split(".")[0] in ("lossgrid", "tests")]
    return [(str(node.module), one.name) for node in ours for one in node.names]


def exists(module: str, name: str) -> bool:
    package = importlib.import_module(module)
    if hasattr(package, name):
        return True
    return hasattr(package, "__path__") and importlib.util.find_spec(f"{module}.{name}") is not None


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT / "benchmarks")))
def test_a_benchmark_imports_what_is_there(program: Path) -> None:
    pytest.importorskip("greenlet")
    missing = [f"{module}.{name}" for module, name in imported(program) if not exists(module, name)]
    assert not missing


def test_names_that_are_not_there_are_found() -> None:
    assert imported(ROOT / "benchmarks" / "messages.py")
    assert exists("lossgrid", "sampling")
    assert not exists("lossgrid.parallel.coordinator", "HEADER")
