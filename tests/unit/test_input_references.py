"""References to functions of users: their modules are found, run once, and never those of the standard library."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from lossgrid import user_code
from lossgrid.errors import InputError

Write = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Return a function that writes a module of the user and gives its name, a new one for each test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names: list[str] = []

    def write(text: str) -> str:
        name = f"users_{tmp_path.name.replace('-', '_')}_{len(names)}"
        names.append(name)
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "reference",
    [
        "subprocess:check_output",
        "os:system",
        "builtins:eval",
        "os.path:join",
        "posix:system",
        "shutil:rmtree",
        "importlib.util:module_from_spec",
        "concurrent.futures:ThreadPoolExecutor",
        "pickle:loads",
        "_thread:exit",
    ],
)
def test_a_reference_into_the_standard_library_is_refused(reference: str) -> None:
    with pytest.raises(InputError, match="standard library; give a function of your own"):
        user_code.load(reference, role="data function")


@pytest.mark.parametrize(
    "text",
    [
        "from subprocess import check_output as f",
        "from os import system as f",
        "f = eval",
        "import os, functools; f = functools.partial(os.system, 'true')",
        "import functools, os; f = functools.partial(functools.partial(os.system), 'true')",
        "import pathlib; f = pathlib.Path('x').unlink",
        "from collections import OrderedDict as f",
        "f = [].append",
        "import operator; f = operator.methodcaller('x')",
        "import functools, os; f = functools.lru_cache(os.system)",
    ],
)
def test_a_function_of_the_standard_library_behind_a_users_name_is_refused(module: Write, text: str) -> None:
    name = module(text)
    with pytest.raises(InputError, match="standard library; give a function of your own"):
        user_code.load(f"{name}:f", role="loss function")


@pytest.mark.parametrize(
    "text",
    [
        "def f(): return 3",
        "import functools\ndef g(x): return x\nf = functools.partial(g, 3)",
        "import functools\n@functools.lru_cache\ndef f(): return 3",
        "class F:\n    def __call__(self): return 3\nf = F()",
        "class F:\n    def g(self): return 3\nf = F().g",
        "class f(int):\n    def __new__(cls): return 3",
        "import torch\nf = torch.tensor(3).item",
    ],
)
def test_functions_classes_and_objects_of_the_user_are_taken(module: Write, text: str) -> None:
    assert user_code.load(f"{module(text)}:f", role="loss function")() == 3


def test_a_dotted_name_behind_the_colon_reaches_into_no_other_module(module: Write) -> None:
    name = module("import subprocess")
    with pytest.raises(InputError, match=r"has no function 'subprocess.check_output'"):
        user_code.load(f"{name}:subprocess.check_output", role="model factory")


def test_the_current_folder_is_searched_last(module: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site"
    installed.mkdir()
    name = module("def f(): return 'of the folder'")
    (installed / f"{name}.py").write_text("def f(): return 'installed'")
    monkeypatch.setattr(sys, "path", [str(installed), *sys.path])
    assert user_code.load(f"{name}:f", role="model factory")() == "installed"
    assert sys.path[-1] == str(tmp_path)


def test_a_module_is_run_once_for_all_of_its_functions(module: Write, tmp_path: Path) -> None:
    name = module("with open('runs', 'a') as file: file.write('x')\ndef f(): pass\ndef g(): pass")
    for reference in (f"{name}:f", f"{name}:g", f"{name}:f"):
        user_code.load(reference, role="model factory")
    assert (tmp_path / "runs").read_text() == "x"


@pytest.mark.parametrize("text", ["import sys; sys.exit(3)", "raise ValueError('no')", "def f(:", "raise SystemExit"])
def test_a_module_that_cannot_be_imported_is_one_line(module: Write, text: str) -> None:
    name = module(text)
    with pytest.raises(InputError, match=f"importing {name} raised (SystemExit|ValueError|SyntaxError)"):
        user_code.load(f"{name}:f", role="model factory")


@pytest.mark.parametrize("reference", ["a\0b:f", ".:f", "..x:f", "x" * 5000 + ":f", "\udcff:f", "/etc/passwd:f"])
def test_a_reference_that_names_no_module_is_one_line(reference: str) -> None:
    with pytest.raises(InputError):
        user_code.load(reference, role="model factory")


def test_a_function_that_ends_the_program_is_one_line() -> None:
    with pytest.raises(InputError, match="model mine raised SystemExit: 3"):
        user_code.call(sys.exit, 3, name="mine", role="model")


def test_too_little_memory_is_no_fault_of_a_function() -> None:
    def full() -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        user_code.call(full, name="mine", role="model")
