"""Names from files and command lines are shown as what they are: no markup, no formulas, no broken layout."""

from __future__ import annotations

import html
import logging
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from lossgrid import plot, store
from lossgrid.cli.comparison import as_csv, as_json, as_table
from lossgrid.errors import InputError
from lossgrid.formats import export_file
from lossgrid.numbers.measured import Measured
from lossgrid.plot.labels import plain
from lossgrid.surface import Origin, Surface
from lossgrid.surface.caveats import caveats_of
from lossgrid.wording import one_line
from tests.builders import measured
from tests.unit.test_export import PLANE, arrays, read_vtp, read_xdmf
from tests.unit.test_plot import bowl, line

SCRIPT = "</script><img src=x onerror=alert(1)>"
TEXTS = [
    SCRIPT, "<a href='javascript:alert(1)'>x</a>", "]]>", "&amp;\"'", "two\nlines\tand a tab", "\u202egnp.exe",
    "\x01\x1b[31m",
    "x" * 500, "$x$", "$", r"$\frac{", r"\$1", "_hidden", "__", "", "100 %", "{0}", "\udcff", "^_", " ",
]  # fmt: skip
NAMES = ["<img src=x onerror=alert(1)>", "]]>", "&amp;\"'", "a b", "x" * 500, "$x$", "_u", "{x}", "%20", "#f", "a;b"]


def written(figure: Figure) -> list[str]:
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(Text)]


def named(text: str) -> Surface:
    """Return a plane whose settings and notes are ``text``, as far as a file can hold it."""
    return replace(
        PLANE,
        origin=Origin({**PLANE.config, "model": text, "loss": text}, weights="random", differs=text),
        rounding={"beyond": True, "precision": text, "largest": {text: 0.5}, "limit": 0.1, "points": []},
    )


# one line


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_becomes_one_short_printable_line(text: str) -> None:
    shown = one_line(text, 40)
    assert len(shown) <= 40
    assert shown.isprintable()
    assert shown.encode().decode() == shown


def test_a_long_text_keeps_both_its_ends() -> None:
    assert one_line("start " + "x" * 10**6 + " end", 13) == "start …xx end"
    assert one_line("0123456789", 10) == "0123456789"


# pictures


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS)
def test_pictures_show_names_as_they_are_and_keep_their_layout(text: str) -> None:
    surface, curve = named(text), replace(line(), origin=Origin({"model": text}, differs=text))
    for figure in (
        plot.draw(surface, kind="heat"),
        plot.draw(surface, kind="surface", title=text),
        plot.draw(curve, title=text),
        plot.side_by_side([surface, bowl(3, 5), surface], [text, "b", text], title=text),
        plot.side_by_side([curve, line()], [text, "b"], metric="train_loss"),
        plot.side_by_side([curve, curve], [text, text], band=True),
    ):
        shown = written(figure)
        assert not any("\n" in one for one in shown if one.startswith(plain(text)[:5]) and len(one) < 60)
        for axes in figure.axes:
            box = axes.get_position()
            assert box.width * figure.get_figwidth() > 0.05  # inches: of the colour bar
            assert box.height * figure.get_figheight() > 0.8


@pytest.mark.parametrize("text", ["$x$", "$", r"$\frac{", r"\$1", "a $ b $ c"])
def test_dollars_begin_no_formula(text: str) -> None:
    axes = plot.draw(bowl(), kind="heat", title=text).axes[0]
    shown, is_formula = axes.title._preprocess_math(axes.title.get_text())
    assert not is_formula
    assert shown == text


def test_a_label_with_an_underscore_is_in_the_legend() -> None:
    figure = plot.side_by_side([line(), line()], ["_one", "two"], metric="train_loss")
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text().strip() for text in legend.get_texts()] == ["_one", "two"]


def test_forty_lines_with_long_labels_keep_the_axes() -> None:
    figure = plot.side_by_side([line()] * 40, [f"{number} {'x' * 500}" for number in range(40)])
    assert written(figure)
    assert all(axes.get_position().height * figure.get_figheight() > 1 for axes in figure.axes)


def test_characters_that_the_font_lacks_are_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        plot.save(plot.draw(bowl(), kind="heat", title="网络"), tmp_path / "a.png", overwrite=False)
    assert [record.getMessage() for record in caplog.records] == [
        "the font of the picture lacks characters of a label; set font.family in a matplotlibrc file"
    ]


# pages


class Elements(HTMLParser):
    """What a browser would make of a page: its elements, with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(page)
    return parser.found


@pytest.fixture(scope="module")
def innocent(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, dict[str, str | None]]]:
    """Return the elements of a page in which no name is hostile."""
    folder = tmp_path_factory.mktemp("innocent")
    store.save(folder / "s.h5", PLANE, overwrite=False)
    return elements(export_file(folder / "s.h5", to="html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", [text for text in TEXTS if text.isprintable() and text.strip()])
def test_a_page_has_no_markup_of_names(
    tmp_path: Path, text: str, innocent: list[tuple[str, dict[str, str | None]]]
) -> None:
    metric = text.replace("/", "") + "_loss"  # a slash is no part of a name in HDF5
    surface = replace(named(text), **measured({metric: PLANE["train_loss"]}, text))
    store.save(tmp_path / "s.h5", surface, overwrite=False)
    page = export_file(tmp_path / "s.h5", to="html").read_text(encoding="utf-8")
    assert elements(page) == innocent
    data = page[page.index("Plotly.newPlot(") :]
    texts = data.replace(r"\u003c", "<").replace(r"\u003e", ">").replace(r"\u002f", "/")
    assert not re.findall(
        r"<(?!/?span|br>|/script>|/div>|/body>|/html>)", texts
    )  # what plotly itself would read as tags
    assert html.escape(one_line(text, 40)).replace("$", "&#36;").replace("\\", "\\\\")[:20] in texts


# XDMF and VTK


@pytest.mark.parametrize("name", NAMES)
def test_xdmf_and_vtk_of_hostile_names_are_opened_by_their_readers(tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name[:200]}.h5"
    store.save(file, replace(PLANE, **measured({name: PLANE["train_loss"]}, name)), overwrite=False)
    description = export_file(file, to="xdmf")
    named = [one.get("Name") for one in ElementTree.parse(description).iter("Attribute")]
    assert named == [name, "status", "seconds", "rank"]
    np.testing.assert_array_equal(arrays(read_xdmf(description))[name], PLANE["train_loss"].ravel())
    assert set(arrays(read_vtp(export_file(file, to="vtk")))) == {"zvalue", one_line(name), "status"}


@pytest.mark.parametrize("name", ["a:b", " a", "a ", "two\nlines", "\x01", "\u202ea", "ä", "网"])
def test_xdmf_refuses_names_its_readers_do_not_find(tmp_path: Path, name: str) -> None:
    store.save(tmp_path / "s.h5", replace(PLANE, **measured({name: PLANE["train_loss"]}, "")), overwrite=False)
    store.save(tmp_path / f"{name}.h5", PLANE, overwrite=False)
    for file in ("s.h5", f"{name}.h5"):
        if file.strip() != file or name.strip() == name:  # a space before the ending is inside the name of the file
            with pytest.raises(InputError, match=r"XDMF cannot name it|cannot be printed"):
                export_file(tmp_path / file, to="xdmf")
    if name.isprintable():  # others are refused by every reader
        ElementTree.parse(export_file(tmp_path / "s.h5", to="vtk"))


# tables


@pytest.mark.parametrize("text", TEXTS)
def test_tables_of_hostile_labels_can_be_printed(text: str) -> None:
    measured = [Measured(text, text, (3, 3), [], [], caveats_of(named(text)))] * 2
    for written_as in (as_table, as_json, as_csv):
        assert len(written_as(measured).encode()) > 100
    assert len(as_table(measured).splitlines()) == 1 + 2 * (3 if text.strip() else 2)
