"""Pictures drawn smooth through the points: nothing stored is changed, nothing invented beyond it."""

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import typer
from matplotlib.backends.backend_agg import FigureCanvasAgg

from lossgrid import plot
from lossgrid.cli.app import program
from lossgrid.plot.interpolation import denser, parts_of, through
from lossgrid.surface import Surface
from tests.builders import a_surface

ALPHA, BETA = np.array([-1.0, -0.5, -0.3, 0.0, 0.4, 0.5, 1.0]), np.linspace(-0.5, 1, 6)
RNG = np.random.default_rng(0)
ROUGH = np.exp(3 * RNG.normal(size=(6, 7)))


def surface(values: Any) -> Surface:
    return a_surface({"train_loss": values}, alpha=ALPHA, beta=BETA)


def smooth(values: Any, parts: int = 5, *, by_factors: bool = True) -> Any:
    return through(ALPHA, BETA, np.asarray(values, dtype=np.float64), parts, by_factors=by_factors)


def neighbours(values: np.ndarray, row: int, column: int) -> np.ndarray:
    """Return the values at the sixteen points around a cell."""
    return values[max(0, row - 1) : row + 3, max(0, column - 1) : column + 3]


@pytest.mark.parametrize("by_factors", [True, False])
@pytest.mark.parametrize("values", [ROUGH, -ROUGH, ROUGH - 1, 1e300 * ROUGH, 1e-310 * ROUGH, 0 * ROUGH])
def test_stored_values_are_drawn_as_they_are_and_others_lie_in_the_range_around(values: Any, by_factors: bool) -> None:
    found = smooth(values, by_factors=by_factors)
    np.testing.assert_array_equal(found[::5, ::5], values)
    for row in range(5):
        for column in range(6):
            around = neighbours(values, row, column)
            cell = found[5 * row : 5 * row + 5, 5 * column : 5 * column + 5]
            slack = 1e-12 * np.abs(around).max()
            assert around.min() - slack <= cell.min() <= cell.max() <= around.max() + slack
    if (values > 0).all() and by_factors:
        assert (found > 0).all()


def test_one_axis_is_interpolated_as_makima_is() -> None:
    interpolate = pytest.importorskip("scipy.interpolate", reason="NOT RUN: needs scipy").Akima1DInterpolator
    heights = np.exp(RNG.normal(size=7))
    expected = np.exp(interpolate(ALPHA, np.log(heights), method="makima")(denser(ALPHA, 8)))
    expected = np.clip(expected, heights.min(), heights.max())
    found = smooth(np.tile(heights, (6, 1)), 8)[3]
    inside = np.abs(np.log(found / expected)) < 1e-9  # elsewhere, the range of the points nearby cuts an overshoot
    assert inside.mean() > 0.8


def test_smooth_functions_are_met_far_better_than_by_straight_lines() -> None:
    alpha, beta = np.linspace(-1, 1, 15), np.linspace(-1, 1, 13)
    dense = [denser(axis, 8) for axis in (alpha, beta)]

    def loss(x: Any, y: Any) -> Any:
        return 0.1 + x**2 + 0.5 * np.sin(2 * y) ** 2 + 0.3 * x * y

    truth = loss(dense[0], dense[1][:, None])
    found = through(alpha, beta, loss(alpha, beta[:, None]), 8, by_factors=True)
    straight = np.array([np.interp(dense[0], alpha, row) for row in loss(alpha, beta[:, None])])
    straight = np.array([np.interp(dense[1], beta, column) for column in straight.T]).T
    assert np.abs(found / truth - 1).mean() < 0.2 * np.abs(straight / truth - 1).mean()


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_nothing_is_drawn_across_points_that_are_not_finite(broken: float) -> None:
    values = ROUGH.copy()
    values[2, 3] = values[4, 1] = values[4, 2] = broken
    found = smooth(values)
    for row in range(5):
        for column in range(6):
            unknown = int((~np.isfinite(values[row : row + 2, column : column + 2])).sum())
            inside = np.isfinite(found[5 * row + 1 : 5 * row + 5, 5 * column + 1 : 5 * column + 5])
            shown = {0: 16, 1: 10}.get(unknown, 0)  # of a triangle, the points on its long side too
            assert inside.sum() == shown
    assert np.isnan(found[10, 15])
    finite = np.isfinite(values)
    np.testing.assert_array_equal(found[::5, ::5][finite], values[finite])


def test_a_hole_changes_nothing_far_from_it() -> None:
    values = ROUGH.copy()
    values[0, 0] = np.nan
    np.testing.assert_allclose(smooth(values)[15:, 20:], smooth(ROUGH)[15:, 20:], rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 2), (2, 7), (3, 2), (399, 3), (400, 400), (1000, 2)])
def test_small_planes_are_divided_more(shape: tuple[int, int]) -> None:
    parts = parts_of(shape)
    assert parts == 1 or (max(shape) - 1) * parts < 800
    values = RNG.normal(size=shape)
    alpha, beta = np.linspace(-1, 1, shape[1]), np.linspace(0, 1, shape[0])
    found = through(alpha, beta, values, parts, by_factors=True)
    assert found.shape == tuple((n - 1) * parts + 1 for n in shape)
    np.testing.assert_array_equal(found[::parts, ::parts], values)


@pytest.mark.parametrize("kind", ["contour", "contourf", "surface"])
def test_smooth_pictures_say_so_and_exact_ones_do_not(kind: str) -> None:
    def texts(**options: Any) -> str:
        return "\n".join(text.get_text() for text in plot.draw(surface(ROUGH), kind=kind, **options).texts)

    assert "drawn through 7 x 6 points" in texts()
    assert "drawn through" not in texts(exact=True)
    assert "drawn through" not in "".join(text.get_text() for text in plot.draw(surface(ROUGH), kind="heat").texts)


# levels and styles


@pytest.mark.parametrize("levels", ["1:2:0.25", "1,1.25,1.5,1.75,2", [1, 1.25, 1.5, 1.75, 2]])
def test_levels_are_drawn_by_value_and_are_the_limits_of_the_scale(levels: Any) -> None:
    values = 1 + np.linspace(0, 2, 7) + 0 * BETA[:, None]
    figure = plot.draw(surface(values), kind="contour", levels=levels)
    drawn = figure.axes[0].collections[-1]
    np.testing.assert_allclose(drawn.levels, [1.25, 1.5, 1.75, 2])  # at 1 nothing is crossed
    assert figure.axes[1].get_ylim() == pytest.approx((1, 2))
    assert "clipped above 2" in figure.axes[1].get_ylabel()


def test_what_is_above_the_scale_is_grey_in_every_flat_kind() -> None:
    values = np.tile(np.linspace(1, 9, 7), (6, 1))
    for kind in ("contour", "contourf", "heat"):
        figure = plot.draw(surface(values), kind=kind, vmax=5, log=False, exact=True)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())
        x, y = figure.axes[0].transData.transform((0.9, 0.6)).astype(int)
        np.testing.assert_allclose(pixels[pixels.shape[0] - y, x, :3], 0.87 * 255, atol=1)


def test_the_style_of_the_paper_has_its_levels_and_no_colour_bar() -> None:
    figure = plot.draw(surface(np.tile(np.geomspace(0.5, 500, 7), (6, 1))), style="paper")
    (axes,) = figure.axes
    assert axes.collections[-1].levels[:3].tolist() == [0.6, 1.1, 1.6]
    assert axes.collections[-1].levels.max() == 9.6
    assert "clipped above 10" in figure.texts[-1].get_text()


# docs/pictures.md

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/pictures.md").read_text()


@pytest.mark.parametrize("name", ["ResNet-20", "ResNet-56", "ResNet-56 without shortcuts"])
def test_the_page_tells_how_far_smooth_pictures_are_off(name: str) -> None:
    told = re.search(rf"^\| {name} \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
    assert told is not None
    file = name.lower().replace("-", "").replace(" without shortcuts", "_noshort")
    with h5py.File(ROOT / f"benchmarks/truth/{file}.h5") as truth:
        loss, axis = truth["train_loss"][...], truth["xcoordinates"][...]
    smooth = through(axis[::2], axis[::2], loss[::2, ::2], 2, by_factors=True)
    straight = np.array([np.interp(axis, axis[::2], row) for row in np.log(loss[::2, ::2])])
    straight = np.array([np.interp(axis, axis[::2], column) for column in straight.T]).T
    left_out = np.ones(loss.shape, dtype=bool)
    left_out[::2, ::2] = False
    for found, text in zip((straight, np.log(smooth)), told.groups(), strict=True):
        assert f"{np.abs(found - np.log(loss))[left_out].mean():.3f}" == text


def test_options_on_the_page_are_options_of_the_verb() -> None:
    verb = typer.main.get_command(program()).commands["plot"]  # type: ignore[attr-defined]
    known = {name for parameter in verb.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) <= known
