"""What limits the trust in a surface stands beside its numbers: in pictures, pages, tables and the status."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from lossgrid import plot, store
from lossgrid.cli.comparison import as_csv, as_json, as_table, compare_files
from lossgrid.formats import export_file
from lossgrid.plot.notes import COLOUR, MOST_LINES
from lossgrid.surface import Origin, Surface
from lossgrid.surface import summary as summary_of
from lossgrid.surface.caveats import caveats_of
from tests.builders import measured
from tests.unit.test_plot import bowl, line, seeds

ROUNDING = {
    "beyond": True, "precision": "bfloat16", "limit": 0.05,
    "largest": {"train_loss": 0.92, "test_loss": 0.031, "train_accuracy": 0.12},
}  # fmt: skip
RANDOM = "random weights: no checkpoint was given"
BEYOND = "bfloat16: train loss up to 92 %, train accuracy up to 12 points from float32, beyond the 5 % allowed"


def noted(surface: Surface, **provenance: Any) -> Surface:
    return replace(surface, origin=Origin.from_json({}, {"weights": "random"} | provenance), rounding=ROUNDING)


def notes_on(figure: Figure) -> list[str]:
    """Return the lines of the notes of a picture, which no axes may touch."""
    figure.draw_without_rendering()
    (text,) = [one for one in figure.findobj(Text) if one.get_color() == COLOUR]
    box = text.get_window_extent()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1
    for axes in figure.axes:
        assert not axes.get_tightbbox().overlaps(box)
    for legend in figure.legends:
        assert not legend.get_window_extent().overlaps(box)
    lines: list[str] = text.get_text().split("\n")
    return lines


# phrases


def test_random_weights_rounding_and_differences_are_named() -> None:
    assert caveats_of(noted(bowl(), differs="train loss 1.2 at (0, 0), once more 1.3")) == [
        RANDOM, BEYOND, "train loss 1.2 at (0, 0), once more 1.3"
    ]  # fmt: skip
    assert caveats_of(noted(bowl(), weights="factory"))[0] == (
        "weights as the model factory made them: no checkpoint was given"
    )
    assert caveats_of(bowl()) == []
    assert caveats_of(replace(bowl(), origin=Origin(weights="checkpoint"))) == []


def test_rounding_within_the_promise_is_no_caveat() -> None:
    assert caveats_of(replace(bowl(), rounding=ROUNDING | {"beyond": False})) == []
    assert caveats_of(replace(bowl(), rounding={"precision": "tf32", "largest": {"train_loss": 9.0}})) == []


@pytest.mark.parametrize(
    ("rounding", "text"),
    [
        (
            {"largest": {"train_loss": math.inf}},
            "bfloat16: train loss infinitely far from float32, beyond the 5 % allowed",
        ),
        (
            {"largest": {"train_loss": math.nan}},
            "bfloat16: train loss infinitely far from float32, beyond the 5 % allowed",
        ),
        ({"limit": "high"}, "beyond what is allowed"),
        ({"largest": [1, 2]}, "bfloat16: differs from float32, beyond the 5 % allowed"),
        ({"largest": {"train_loss": "much", "x": True}}, "bfloat16: differs from float32, beyond the 5 % allowed"),
        ({"largest": {"train_loss": 10**400}}, "train loss infinitely far"),
        ({"precision": 16}, "the lower precision: train loss up to 92 %"),
    ],
)
def test_rounding_of_other_types_is_named_as_far_as_it_goes(rounding: dict[str, Any], text: str) -> None:
    (found,) = caveats_of(replace(bowl(), rounding=ROUNDING | rounding))
    assert text in found


HOSTILE: list[Any] = [None, True, 3, math.nan, [], {}, ["random"], {"random": 1}, "x" * 10**5, "a\nb\x00", "\udcff"]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_entries_of_any_type_make_short_lines_or_none(value: Any) -> None:
    for rounding in (value, {"beyond": value}, dict.fromkeys(ROUNDING, value) | {"beyond": True}):
        origin = Origin.from_json({}, {"weights": value, "differs": value})
        surface = replace(bowl(), origin=origin, rounding=rounding)
        for text in caveats_of(surface):
            assert text.isprintable()
            assert 0 < len(text) <= 160


# pictures


@pytest.mark.parametrize("kind", plot.KINDS[1:])
def test_every_picture_of_a_plane_has_the_notes_apart_from_its_axes(kind: str) -> None:
    assert notes_on(plot.draw(noted(bowl()), kind=kind)) == [RANDOM, BEYOND]
    several = plot.side_by_side(
        [noted(bowl()), bowl(), bowl(steep=2)], ["one", "$two", "three"], kind=kind, title="all"
    )
    assert notes_on(several) == [f"one: {RANDOM}", f"one: {BEYOND}"]


def test_every_picture_of_lines_has_the_notes_apart_from_its_axes() -> None:
    single = notes_on(plot.draw(noted(line())))
    assert single[0] == RANDOM
    assert " ".join(single[1:]) == BEYOND
    several = plot.side_by_side([noted(line()), line(), noted(line())], ["one", "two", "three"])
    assert notes_on(several)[0] == f"one, three: {RANDOM}"
    assert notes_on(plot.side_by_side([noted(one) for one in seeds(1, 2)], ["a"] * 2, band=True))[0] == f"all: {RANDOM}"


def test_a_picture_without_caveats_has_no_notes() -> None:
    for surface in (bowl(), line()):
        assert not [one for one in plot.draw(surface).findobj(Text) if one.get_color() == COLOUR]


def test_notes_on_many_surfaces_stay_few_lines() -> None:
    surfaces = [replace(line(), origin=Origin(differs=f"point {number} is another")) for number in range(50)]
    lines = notes_on(plot.side_by_side(surfaces, [f"{number}" for number in range(50)]))
    assert len(lines) == MOST_LINES
    assert lines[-1] == f"and {50 - MOST_LINES + 1} more lines of notes"


def test_interpolated_and_pending_points_are_hatched_beside_the_notes() -> None:
    values = bowl()["train_loss"].copy()
    values[0, 0] = np.nan
    surface = noted(replace(bowl(), **measured({**bowl().values, "train_loss": values})))
    figure = plot.draw(surface, kind="heat")
    assert figure.axes[0].patches[0].get_hatch()
    assert notes_on(figure) == [RANDOM, BEYOND]


# pages, tables, status


@pytest.fixture
def file(tmp_path: Path) -> Path:
    store.save(tmp_path / "s.h5", replace(bowl(), origin=Origin(weights="random")), overwrite=False)
    return tmp_path / "s.h5"


def test_the_page_has_the_notes(file: Path) -> None:
    assert RANDOM in export_file(file, to="html").read_text(encoding="utf-8")


def test_tables_of_numbers_have_the_notes(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        measured = compare_files(
            [file], metric=None, radius=0.5, levels=["2x"], log_scale=None, vmax=None, labels=["mine"], out=None,
            draw=False, overwrite=False,
        )  # fmt: skip
    assert as_table(measured).endswith(f"mine: {RANDOM}\n")
    assert json.loads(as_json(measured))[0]["notes"] == [RANDOM]
    assert RANDOM in as_csv(measured)


def test_the_status_has_the_notes(file: Path) -> None:
    summary = summary_of.summarise(store.read(file))
    assert summary["notes"] == [RANDOM]
    assert f"note: {RANDOM}" in summary_of.as_lines(summary)
