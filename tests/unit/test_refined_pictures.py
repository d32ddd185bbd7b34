"""Pictures and numbers of surfaces with interpolated points: dots where points were computed, error bars, intervals."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

import lossgrid
from lossgrid import plot, store
from lossgrid.cli.comparison import as_csv
from lossgrid.errors import InputError
from lossgrid.formats.figure import figure_of
from lossgrid.formats.formats import export_file
from lossgrid.formats.heights import HeightOptions
from lossgrid.surface import DONE, INTERPOLATED, Surface
from lossgrid.surface.refinement import Refinement
from tests.builders import a_surface

TOLD = Refinement(0.01, "colours", audits=1, audited=60, wrong={"train_loss": 0}, most_wrong={"train_loss": 3})


def refined(surface: Surface, every: int = 4, bar: float = 0.05, **changes: Any) -> Surface:
    """Return a surface of which each ``every``-th point of a row and column was computed, the others interpolated."""
    status = np.full(surface.shape, INTERPOLATED, dtype=np.uint8)
    status[tuple(slice(None, None, every) for _ in surface.shape)] = DONE
    bars = np.where(status == DONE, 0, bar).astype(np.float32)
    told = {"status": status, "bars": {"train_loss": bars}, "refinement": TOLD}
    return dataclasses.replace(surface, **told | changes)


def line(**changes: Any) -> Surface:
    alpha = np.linspace(-1, 1, 41)
    return refined(a_surface({"train_loss": 0.1 + alpha**2}, alpha=alpha), **changes)


def plane(**changes: Any) -> Surface:
    alpha, beta = np.linspace(-1, 1, 41), np.linspace(-1, 1, 33)
    return refined(
        a_surface({"train_loss": 0.1 + alpha**2 + 2 * beta[:, None] ** 2}, alpha=alpha, beta=beta), **changes
    )


def dots(axes: Axes) -> np.ndarray:
    """Return the points that are marked, shape ``(n, 2)``."""
    marked = next(one for one in axes.lines if one.get_marker() == ".")
    points = np.asarray(marked.get_xydata())
    every = marked.get_markevery()
    return points if every is None else points[every]


def bands(axes: Axes) -> list[PolyCollection]:
    return [one for one in axes.collections if isinstance(one, PolyCollection)]


def test_a_line_has_dots_where_it_was_computed_and_its_error_bars_between() -> None:
    axes = plot.draw(line()).axes[0]
    np.testing.assert_allclose(dots(axes)[:, 0], np.linspace(-1, 1, 11), atol=1e-12)
    (band,) = bands(axes)
    for x, y in band.get_paths()[0].vertices:
        assert abs(y - (0.1 + x**2)) == pytest.approx(0.05, abs=1e-6) or np.isclose(x * 20 % 4, [0, 4]).any()


def test_a_line_without_interpolated_points_has_dots_everywhere_and_no_band() -> None:
    axes = plot.draw(line(every=1, refinement=None)).axes[0]
    assert len(dots(axes)) == 41
    assert not bands(axes)


@pytest.mark.parametrize(
    ("changes", "text"),
    [({}, "error bars, 95 %"), ({"refinement": Refinement(0.01, "colours")}, "expected errors")],
)
def test_the_legend_says_what_error_bars_are(changes: dict[str, Any], text: str) -> None:
    figure = plot.side_by_side([line(**changes), line(every=1)], ["refined", "full"])
    assert text in [entry.get_text() for entry in figure.axes[0].get_legend().get_texts()]


def test_a_band_of_several_lines_holds_their_error_bars() -> None:
    figure = plot.side_by_side([line(), line(bar=0.2)], ["seeds", "seeds"], band=True)
    (band,) = bands(figure.axes[0])
    vertices = band.get_paths()[0].vertices
    between = vertices[~np.isclose(np.abs(vertices[:, 0] * 20 % 4), 0) & (np.abs(vertices[:, 0] * 20 % 4 - 4) > 1e-6)]
    np.testing.assert_allclose(np.abs(between[:, 1] - 0.1 - between[:, 0] ** 2), 0.2, atol=1e-6)


@pytest.mark.parametrize("scale", [{"log": True}, {"log": False}, {}])
@pytest.mark.parametrize("bar", [0.0, 3.0, 1e38, np.inf, np.nan])
def test_bars_of_any_width_are_drawn_in_every_scale(bar: float, scale: dict[str, Any]) -> None:
    figure = plot.draw(line(bar=bar), **scale)
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_ylim()
    assert -1 < low < high < 3


@pytest.mark.parametrize("kind", ["contourf", "contour", "heat"])
def test_a_plane_marks_its_computed_points_on_request(kind: str) -> None:
    axes = plot.draw(plane(), kind=kind, points=True).axes[0]
    expected = {(x, y) for x in np.round(np.linspace(-1, 1, 11), 9) for y in np.round(np.linspace(-1, 1, 9), 9)}
    assert {(x, y) for x, y in np.round(dots(axes), 9)} == expected
    assert not [one for one in plot.draw(plane(), kind=kind).axes[0].lines if one.get_marker() == "."]


def test_a_relief_has_no_points() -> None:
    with pytest.raises(InputError, match="--points does not fit --kind surface; use contourf, contour or heat"):
        plot.draw(plane(), kind="surface", points=True)
    with pytest.raises(InputError, match="--points does not fit"):
        plot.draw(plane(), ax=plt.figure().add_subplot(projection="3d"), points=True)


def test_all_pictures_of_a_plane_have_points_but_the_relief(tmp_path: Any) -> None:
    options = plot.PictureOptions(points=True)
    written = plot.write_all(plane(), tmp_path / "s", options, overwrite=False)
    assert [path.name for path in written] == [f"s_{kind}.png" for kind in plot.KINDS[1:]]


# numbers


def numbers(surface: Surface) -> dict[str, Any]:
    return {one.key: one for one in lossgrid.compare(surface).measured[0].numbers}


def test_numbers_of_a_plane_have_the_intervals_that_its_error_bars_allow() -> None:
    found = numbers(plane())
    exact = numbers(plane(every=1, refinement=None, bars={}))
    assert found["centre"].interval is None
    for key in ("sharpness", "width_alpha_+0.5", "width_beta_2x", "area_+0.5"):
        low, high = found[key].interval
        assert low <= exact[key].value <= high, key
        assert low < high
        assert exact[key].interval is None
    # L = 0.1 + alpha^2 +- 0.05 is 0.6 at alpha = sqrt(0.45) and sqrt(0.55), but the grid is linear between points.
    assert found["width_alpha_+0.5"].interval == pytest.approx((2 * 0.45**0.5, 2 * 0.55**0.5), abs=0.01)
    assert found["roughness"].interval is None


def test_any_surface_within_the_bars_has_its_numbers_within_the_intervals() -> None:
    surface, rng = plane(), np.random.default_rng(0)
    found = numbers(surface)
    for _ in range(20):
        off = rng.uniform(-1, 1, surface.shape) * surface.bars["train_loss"]
        other = numbers(dataclasses.replace(surface, values={"train_loss": surface["train_loss"] + off}))
        for key, number in found.items():
            if number.interval is not None:
                low, high = number.interval
                assert low <= other[key].value, key
                assert high is None or other[key].value <= high, key


def test_the_table_and_its_records_tell_the_intervals() -> None:
    compared = lossgrid.compare(plane())
    row = next(one for one in repr(compared).splitlines() if one.startswith("width along alpha at centre +0.5"))
    assert row.endswith(" to 1.483)")
    assert "(a to b)  as far as the error bars of interpolated values allow" in repr(compared)
    (record,) = compared.records()
    assert len(record["intervals"]["sharpness"]) == 2
    (read,) = csv.DictReader(io.StringIO(as_csv(compared.measured)))
    assert f"sharpness={record['intervals']['sharpness'][0]}:" in read["intervals"]


def test_an_interval_beyond_the_grid_has_no_upper_end() -> None:
    number = numbers(plane(bar=0.2))["width_alpha_+1"]
    assert number.interval is not None
    assert number.interval[1] is None
    assert "(>= " in str(number)


@pytest.mark.parametrize("bar", [np.inf, np.nan])
def test_without_finite_bars_there_is_no_interval(bar: float) -> None:
    assert numbers(plane(bar=bar))["sharpness"].interval is None


# exports


def test_exports_have_the_error_bars(tmp_path: Path) -> None:
    store.save(tmp_path / "s.h5", plane())
    written = {to: export_file(tmp_path / "s.h5", to=to) for to in ("csv", "vtk", "xdmf")}
    with written["csv"].open() as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["status"], row["train_loss_bar"]) for row in rows} == {("done", "0.0"), ("interpolated", "0.05")}
    assert 'Name="train_loss_bar"' in written["vtk"].read_text()
    assert "s.h5:/train_loss_bar" in written["xdmf"].read_text()


def test_a_page_tells_what_is_interpolated() -> None:
    figure = figure_of(plane(), HeightOptions())
    texts = np.array(figure["data"][0]["hovertext"])
    assert np.count_nonzero(np.char.find(texts, "interpolated") >= 0) == plane().interpolated
    assert " ± 0.05, interpolated" in texts[1, 1]
    bars = figure_of(line(), HeightOptions(log=False))["data"][0]["error_y"]
    np.testing.assert_allclose(bars["array"][1:4], 0.05, rtol=1e-6)
    assert bars["arrayminus"][4] == 0
    assert "error_y" not in figure_of(line(every=1, refinement=None), HeightOptions())["data"][0]
