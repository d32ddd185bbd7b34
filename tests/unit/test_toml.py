"""Settings as TOML: what is written is read again, whatever it holds; what cannot be is refused in one line."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossgrid.errors import InputError
from lossgrid.settings import read_toml
from lossgrid.settings.toml import as_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def typed(value: Any) -> Any:
    """Return a value with its types, which 1 == 1.0 == True and 0.0 == -0.0 do not compare."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [typed(inner) for inner in value]
    return type(value), repr(value)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_what_is_written_is_read_again(table: dict[str, Any]) -> None:
    assert typed(tomllib.loads(as_toml(table))) == typed(table)


@pytest.mark.parametrize(
    "value",
    [
        'quotes " and \' and """', "two\nlines\r\n", "back\\slash", "tab\tbell\x07 del\x7f nul\x00",
        "größe 網 \U0001f600", "\ufeff\u2028\u0085", "", "# no comment", "1979-05-27", "inf", 2**63 - 1, -(10**40),
        1e300, 5e-324, -0.0, 1e16, math.inf, -math.inf, [], {}, [1, "a", [2.0, {}]],
        {"a b": {"": {"ä": [True]}}, "c.d": 1, "-_9": 2},
    ],
)  # fmt: skip
def test_values_that_are_easily_written_wrong(value: Any) -> None:
    text = as_toml({"value": value, "next": 1})
    assert text.count("\n") == 2
    assert typed(tomllib.loads(text)) == typed({"value": value, "next": 1})


def test_what_is_not_a_number_is_read_again() -> None:
    assert math.isnan(tomllib.loads(as_toml({"value": math.nan}))["value"])


def test_the_file_of_settings_reads_it(tmp_path: Path) -> None:
    table = {"model": "mlp", "model_arg": {"hidden": [8, 8], "näme": 'a "b"\n'}, "max_samples": None, "out": "größe.h5"}
    (tmp_path / "c.toml").write_bytes(as_toml(table).encode())
    assert read_toml(tmp_path / "c.toml") == {name: value for name, value in table.items() if value is not None}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"hidden": None}, "it holds null"), ([1, None], "it holds null"),
        ("\udcff", "it holds bytes that are no text"),
        ({"\ud800": 1}, "it holds bytes that are no text"), ({"x": object()}, "it holds something of type object"),
    ],
)  # fmt: skip
def test_what_toml_cannot_hold_is_refused(value: Any, words: str) -> None:
    with pytest.raises(InputError, match=f"^model_arg cannot be written as TOML: {words}$"):
        as_toml({"model": "mlp", "model_arg": value})
