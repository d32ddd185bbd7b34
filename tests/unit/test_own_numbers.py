"""The socket of numbers: one costs a definition and a line, a user's own its name on the command line."""

import dataclasses
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lossgrid import numbers
from lossgrid.cli.comparison import as_json, as_table, compare_files
from lossgrid.errors import InputError
from lossgrid.numbers import Bound, Definition, Level, measured
from lossgrid.numbers.table import table
from tests.unit.test_compare import DEFAULTS, bowl, run_main, saved, valley

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
OWN = """
import fractions, math
import numpy as np
from lossgrid.numbers import Bound, Definition

def median(surface, quantity):
    return np.nanmedian(surface[quantity.name])

def of_what(surface, quantity):
    return quantity.name == "test_accuracy" and 1 or 0

def least(surface, quantity):
    return Bound(3, is_lower=True)

def none(surface, quantity): return None
def nan(surface, quantity): return math.nan
def inf(surface, quantity): return math.inf
def huge(surface, quantity): return 10**400
def third(surface, quantity): return fractions.Fraction(1, 3)
def whole(surface, quantity): return np.array(7)
def text(surface, quantity): return "0.5"
def yes(surface, quantity): return True
def many(surface, quantity): return np.zeros(3)
def wrong(surface, quantity): return 1 / 0
def leaves(surface, quantity): raise SystemExit(3)
def changes(surface, quantity): surface[quantity.name][0] = 5
def one(surface): return 1
value = 3.0

RISE = Definition("rise", "rise of {what}", lambda of: of.land.range * of.land.unit, "myself 2026", "share")
REACH = Definition("reach_{level}", "reach {where}", lambda of: of.radius, per_level=True)
BENT = Definition("bent", "bent", lambda of: 1 / 0)
ONLY_PLANES = Definition("tall", "tall", lambda of: 1, grids="plane")
"""


@pytest.fixture(autouse=True)
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_numbers.py").write_text(OWN)
    yield
    sys.modules.pop("own_numbers", None)


def taken(surface: object, *also: str, **changes: object) -> dict[str, float | int | None]:
    """Return the numbers of users that compare gives for a surface."""
    (one,) = compare_files(saved(Path(), a=surface), **DEFAULTS | {"also": also} | changes)
    return {number.key: number.value for number in one.numbers[-len(also) :]}


def test_a_number_is_registered_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    highest = Definition("highest", "highest {what}", lambda of: float(np.nanmax(of.land.values)), units="L")
    monkeypatch.setattr(measured, "NUMBERS", (*numbers.NUMBERS, highest))
    found = compare_files(saved(tmp_path, a=valley()), **DEFAULTS)
    assert json.loads(as_json(found))[0]["highest"] == 1.1
    assert re.search(r"^highest train loss +1\.1$", as_table(found), re.MULTILINE)


def test_the_page_has_the_table_of_all_numbers_and_names_every_source() -> None:
    page = DOCS.read_text(encoding="utf-8")
    assert table() in page
    sources = page.partition("## Sources")[2]
    for one in numbers.NUMBERS:
        for source in filter(None, one.source.removeprefix("after ").split("; ")):
            name, year = re.match(r"(\w+).* (\d{4})$", source).groups()
            assert any(name in entry and year in entry for entry in sources.split("\n- ")), source


def test_every_number_has_a_key_of_its_own() -> None:
    keys = [key for one in numbers.NUMBERS for key in one.keys(0.5, [Level(factor=2), Level(rise=1)])]
    assert len(set(keys)) == len(keys) > 14


def test_numbers_of_users_stand_below_the_others_under_the_name_of_their_function(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = saved(tmp_path, a=bowl(), b=bowl(2))
    given = ("--number", "own_numbers:median", "--number", "mine=own_numbers:least", "--number", "own_numbers:RISE")
    assert run_main("compare", *files, "--out", tmp_path / "p.png", *given) == 0
    last = capfd.readouterr().out.splitlines()
    rows = {line[:36].strip(): line[36:].split() for line in last}
    medians = [f"{np.median(one['train_loss']):.4g}" for one in (bowl(), bowl(2))]
    assert rows["median"] == medians
    assert rows["mine"] == [">=", "3", ">=", "3"]
    assert rows["rise of train loss"] == ["164", "%", "328", "%"]
    assert list(rows).index("of these at the border") + 1 == list(rows).index("median")
    assert run_main("compare", *files, "--json", *given) == 0
    first, _ = json.loads(capfd.readouterr().out)
    assert (first["median"], first["mine"]) == (np.median(bowl()["train_loss"]), 3)
    assert first["rise"] == pytest.approx(1.64)
    assert first["lower_bounds"][-1] == "mine"
    assert run_main("compare", *files, "--csv", *given) == 0
    assert capfd.readouterr().out.partition("\n")[0].split(",")[-6:] == [
        "median", "mine", "rise", "lower_bounds", "intervals", "notes",
    ]  # fmt: skip


def test_a_number_of_each_level_is_taken_of_each_and_can_be_renamed() -> None:
    assert taken(valley(), "own_numbers:REACH", levels=["+0.1"]) == {"reach_+0.1": 0.5}
    both = compare_files([Path("a.h5")], **DEFAULTS | {"also": ["far=own_numbers:REACH"], "levels": ["+0.1", "3x"]})
    assert [number.key for number in both[0].numbers[-2:]] == ["far_+0.1", "far_3x"]
    assert [number.label for number in both[0].numbers[-2:]] == ["far at centre +0.1", "far at 3x the centre"]


def test_a_number_of_planes_alone_is_left_out_for_lines() -> None:
    (line,) = compare_files(saved(Path(), a=valley()), **DEFAULTS | {"also": ["own_numbers:ONLY_PLANES"]})
    (plane,) = compare_files(saved(Path(), b=bowl()), **DEFAULTS | {"also": ["own_numbers:ONLY_PLANES"]})
    assert ("tall" in as_table([line]), "tall" in as_table([plane])) == (False, True)


def test_what_is_no_finite_number_is_none_and_other_numbers_become_pythons_own() -> None:
    names = ("none", "nan", "inf", "huge", "third", "whole")
    found = taken(valley(), *(f"own_numbers:{name}" for name in names))
    assert found == dict.fromkeys(names[:4]) | {"third": 1 / 3, "whole": 7}
    assert [type(value) for value in found.values()][4:] == [float, int]


def test_functions_get_the_quantity_that_was_asked_for_without_what_is_above_vmax() -> None:
    assert taken(valley(), "own_numbers:of_what", metric="test_accuracy") == {"of_what": 1}
    alpha = np.linspace(-1, 1, 21)
    below = np.median(0.1 + alpha[np.abs(alpha) < 0.65] ** 2)
    (one,) = compare_files([Path("a.h5")], **DEFAULTS | {"also": ["own_numbers:median"], "vmax": 0.5})
    assert one.numbers[-1].value == pytest.approx(below)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("own_numbers:text", r"number text: expected one real number or None, got str"),
        ("own_numbers:yes", r"got bool"),
        ("own_numbers:many", r"got ndarray"),
        ("own_numbers:wrong", r"own_numbers:wrong raised ZeroDivisionError: division by zero \(own_numbers\.py:\d+\)"),
        ("own_numbers:BENT", r"own_numbers:BENT raised ZeroDivisionError"),
        ("own_numbers:leaves", r"own_numbers:leaves raised SystemExit: 3"),
        ("own_numbers:changes", r"own_numbers:changes raised ValueError: assignment destination is read-only"),
        ("own_numbers:one", r"own_numbers:one raised TypeError"),
    ],
)
def test_faults_of_functions_are_one_line_that_names_file_and_function(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], given: str, message: str
) -> None:
    (file,) = saved(tmp_path, a=valley())
    with pytest.raises(InputError, match=rf"a\.h5: .*{message}"):
        compare_files([file], **DEFAULTS | {"also": [given], "out": tmp_path / "a.png"})
    assert run_main("compare", file, "--number", given) == 2
    said = capfd.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["median"], r"number: expected package\.module:function, got 'median'"),
        (["own_numbers:absent"], "own_numbers has no function 'absent'"),
        (["own_numbers:value"], "own_numbers has no function 'value'"),
        (["no_such_module:f"], "importing no_such_module raised ModuleNotFoundError"),
        (["os:getpid"], "os is a module of Python's standard library"),
        (["a b=own_numbers:median"], "expected a name of letters, digits and _, got 'a b'"),
        (["=own_numbers:median"], "expected a name of letters, digits and _, got ''"),
        (["sharpness=own_numbers:median"], "the name sharpness is taken"),
        (["label=own_numbers:median"], "the name label is taken"),
        (["width_2x=own_numbers:median"], "the name width_2x is taken"),
        (["own_numbers:median", "median=own_numbers:third"], "the name median is taken"),
    ],
)
def test_names_that_cannot_be_are_refused_before_a_file_is_read(given: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare_files([Path("absent.h5")], **DEFAULTS | {"also": given})


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": 3},
        {"key": ""},
        {"label": "{nothing}"},
        {"label": "{"},
        {"label": "two\nlines"},
        {"take": 3},
        {"grids": "cube"},
        {"per_level": True},
    ],
)
def test_a_definition_that_cannot_be_used_is_refused_where_it_is_made(wrong: dict[str, object]) -> None:
    whole = Definition("key", "label", lambda _: Bound(1, is_lower=False))
    with pytest.raises(InputError, match=r"^number .*: expected "):
        dataclasses.replace(whole, **wrong)  # type: ignore[arg-type]
