"""The socket of formats: one costs a module and a line, a user's own its name on the command line."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossgrid.errors import InputError
from lossgrid.files import writing
from lossgrid.formats import FORMATS, Format, HeightOptions, export_file
from tests.unit.test_compare import run_main
from tests.unit.test_export import PLANE, saved

OWN = """
import json, os
from pathlib import Path
import numpy as np
from lossgrid.formats import Format
from lossgrid.formats.heights import choose_values

def write(surface, path):
    path.write_text(json.dumps(surface["train_accuracy"].tolist()[0]))

def save(surface, path): np.savez(path, **surface.values)

class Rows:
    ending = "_rows.json"
    def write(self, surface, path): write(surface, path)

rows = Rows()
upper = Format("mine", ".JSON", "", write)

class Heights:
    ending = ".json"
    takes_height = True
    def write(self, surface, path, options):
        quantity, values = choose_values(surface, options)
        path.write_text(json.dumps([quantity.name, options.clip]))

def raises(surface, path):
    path.write_text("half")
    path.with_suffix(".more").write_text("half")
    raise KeyError("no")
def leaves(surface, path): raise SystemExit(0)
def full(surface, path):
    path.write_text("half")
    raise OSError(28, "No space left on device")
def nothing(surface, path): pass
def text(surface, path): return "the content"
def elsewhere(surface, path): Path(f"{path}.npz").write_text("there")
def folder(surface, path): path.mkdir(); (path / "a").write_text("there")
def link(surface, path): path.symlink_to(surface.path)
def two(surface, path):
    path.write_text("one")
    path.with_suffix(".hdr").write_text("two")
def fewer(surface): pass

class Broken:
    def __init__(self): raise ValueError("no licence")
    def write(self, surface, path): pass
class Numbered(Rows): ending = 3
class Away(Rows): ending = "/../x.json"
class Bare: pass
class Surprising(Rows):
    @property
    def ending(self): return 1 / 0
value = 3
"""


@pytest.fixture(autouse=True)
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "own_formats.py").write_text(OWN)
    saved(tmp_path, PLANE)
    yield
    sys.modules.pop("own_formats", None)


def there(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_format_is_registered_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shape = Format("shape", ".txt", "its shape", lambda surface, path: path.write_text(str(surface.shape)))
    monkeypatch.setitem(FORMATS, "shape", shape)
    assert run_main("export", "s.h5", "--to", "shape") == 0
    assert capfd.readouterr().out == "s.txt\n"
    assert (tmp_path / "s.txt").read_text() == "(3, 5)"
    assert run_main("export", "s.h5", "--to", "shap") == 2
    assert "csv, html, shape, got 'shap'; did you mean shape?" in capfd.readouterr().err
    assert run_main("export", "s.h5", "--to", "shape", "--metric", "train_loss") == 2


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_in_the_help_under_its_name(name: str, start: Any) -> None:
    said = " ".join(start(0, "lossgrid", "export", "--help", env={"COLUMNS": "500"}).stdout.split())
    assert f"{name}: {FORMATS[name].help}." in said
    assert "|".join(FORMATS) in said


def test_a_function_writes_the_file_that_out_names(tmp_path: Path) -> None:
    written = export_file(Path("s.h5"), to="own_formats:write", out=Path("a.json"))
    assert written == Path("a.json")
    assert json.loads(written.read_text()) == [0.5, 1.0, 0.1, 0.4, 0.2]
    export_file(Path("s.h5"), to="own_formats:write", out=Path("without"))
    assert there(tmp_path) == ["a.json", "own_formats.py", "s.h5", "without"]


def test_writers_that_go_by_the_ending_get_it(tmp_path: Path) -> None:
    with np.load(export_file(Path("s.h5"), to="own_formats:save", out=Path("a.npz"))) as held:
        np.testing.assert_array_equal(held["train_loss"], PLANE["train_loss"])
    assert there(tmp_path) == ["a.npz", "own_formats.py", "s.h5"]


@pytest.mark.parametrize(("name", "file"), [("rows", "s_rows.json"), ("Rows", "s_rows.json"), ("upper", "s.JSON")])
def test_an_object_or_a_class_says_how_its_files_end(tmp_path: Path, name: str, file: str) -> None:
    assert export_file(Path("s.h5"), to=f"own_formats:{name}") == Path(file)
    assert json.loads((tmp_path / file).read_text())[0] == 0.5
    with pytest.raises(InputError, match=rf"a\.txt: the name of a file for own_formats:{name} ends in \.(json|JSON)$"):
        export_file(Path("s.h5"), to=f"own_formats:{name}", out=Path("a.txt"))


def test_a_format_of_heights_gets_what_was_asked_of_them() -> None:
    written = export_file(Path("s.h5"), to="own_formats:Heights", options=HeightOptions("train_accuracy", clip=0.5))
    assert json.loads(written.read_text()) == ["train_accuracy", 0.5]
    with pytest.raises(InputError, match="--metric is for vtk and html, whose heights are one metric"):
        export_file(Path("s.h5"), to="own_formats:rows", options=HeightOptions("train_accuracy"))


def test_a_file_is_replaced_only_when_asked_and_the_function_is_not_called_before(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("mine")
    with pytest.raises(InputError, match=r"a\.json exists; give --overwrite"):
        export_file(Path("s.h5"), to="own_formats:raises", out=Path("a.json"))
    export_file(Path("s.h5"), to="own_formats:write", out=Path("a.json"), overwrite=True)
    assert (tmp_path / "a.json").read_text().startswith("[0.5")
    with pytest.raises(InputError, match="is the surface itself, which is only read"):
        export_file(Path("s.h5"), to="own_formats:write", out=Path("s.h5"), overwrite=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raises", r"own_formats:raises raised KeyError: 'no' (own_formats.py:"),
        ("leaves", "own_formats:leaves raised SystemExit: 0"),
        ("full", "own_formats:full raised OSError: [Errno 28] No space left on device"),
        ("nothing", "own_formats:nothing wrote no file at the path it was given"),
        ("text", "own_formats:text wrote no file at the path it was given"),
        ("elsewhere", "own_formats:elsewhere wrote no file at the path it was given"),
        ("folder", "own_formats:folder wrote no file at the path it was given"),
        ("link", "own_formats:link wrote no file at the path it was given"),
        ("two", "own_formats:two wrote more than one file"),
        ("fewer", "own_formats:fewer raised TypeError"),
    ],
)
@pytest.mark.parametrize("is_there", [False, True])
def test_faults_of_functions_are_one_line_and_leave_what_was_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, message: str, is_there: bool
) -> None:
    if is_there:
        (tmp_path / "a.json").write_text("mine")
    before = there(tmp_path)
    given = ("--to", f"own_formats:{name}", "--out", "a.json", "--overwrite")
    assert run_main("export", "s.h5", *given) == 2
    said = capfd.readouterr()
    (line,) = [line for line in said.err.splitlines() if "pending" not in line]
    assert message in line
    assert said.out == ""
    assert there(tmp_path) == before
    assert not is_there or (tmp_path / "a.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("own_formats:write", "--out is missing: own_formats:write does not say how its files end"),
        ("own_formats:absent", "own_formats has no function 'absent'"),
        ("own_formats:value", "own_formats has no function 'value'"),
        ("own_formats:Bare", r"own_formats:Bare: expected write\(surface, path\), or an object"),
        ("own_formats:Broken", "own_formats:Broken raised ValueError: no licence"),
        ("own_formats:Numbered", r"expected an ending such as \.json, got 3"),
        ("own_formats:Away", r"expected an ending such as \.json, got '/\.\./x\.json'"),
        ("own_formats:Surprising", "own_formats:Surprising raised ZeroDivisionError"),
        ("own_formats:os", "of Python's standard library; give a function of your own"),
        ("os:remove", "os is a module of Python's standard library"),
        ("absent_module:f", "importing absent_module raised ModuleNotFoundError"),
        ("csvv", "got 'csvv'; did you mean csv"),
        ("obj", r"got 'obj'; one of your own is package\.module:name"),
    ],
)
def test_what_is_no_format_is_refused_before_a_file_is_read(to: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        export_file(Path("absent.h5"), to=to)


def test_what_a_killed_writer_has_left_goes_with_the_next_file_whatever_its_ending(tmp_path: Path) -> None:
    (tmp_path / f"{writing._prefix()}{2**30}-0.partial.json").write_text("half")
    export_file(Path("s.h5"), to="csv")
    assert there(tmp_path) == ["own_formats.py", "s.csv", "s.h5"]
