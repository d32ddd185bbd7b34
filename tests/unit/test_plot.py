import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.text import Text

from lossgrid import plot, store
from lossgrid.cli.pictures import draw_files
from lossgrid.errors import InputError
from lossgrid.plot.levels import round_values
from lossgrid.plot.scale import ScaleOptions, choose_scale
from lossgrid.surface import DONE, NOT_FINITE, PENDING, Axis, Grid, Surface, Work
from tests.builders import a_surface, quantities, results

METRICS = quantities("train")


def bowl(n_beta: int = 7, n_alpha: int = 9, *, steep: float = 1.0) -> Surface:
    alpha, beta = np.linspace(-1, 1, n_alpha), np.linspace(-0.5, 1, n_beta)
    loss = 0.1 + steep * (alpha[None, :] ** 2 + 0.5 * beta[:, None] ** 2)
    accuracy = 1 / (1 + loss)
    return a_surface({"train_accuracy": accuracy, "train_loss": loss}, alpha=alpha, beta=beta)


def line() -> Surface:
    alpha = np.linspace(-1, 1, 9)
    loss = 0.1 + alpha**2
    names = {"test_accuracy": 0.8 - 0.5 * alpha**2, "test_loss": loss + 0.1, "train_accuracy": 1 - alpha**2}
    return a_surface(names | {"train_loss": loss}, alpha=alpha)


def render(figure: Figure) -> str:
    """Draw for real, which is where matplotlib finds out, and return all that is written on the figure."""
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def mesh_of(figure: Figure, panel: int = 0) -> QuadMesh:
    return next(one for one in figure.axes[panel].collections if isinstance(one, QuadMesh))


# kinds


@pytest.mark.parametrize("kind", plot.KINDS[1:])
def test_every_kind_of_plane_says_what_it_shows(kind: str) -> None:
    written = render(plot.draw(bowl(), kind=kind))
    assert "train loss (nats per sample)" in written
    assert "mlp, 9 x 7 points" in written
    assert r"$\alpha$" in written
    assert r"$\beta$" in written


def test_without_a_kind_planes_are_filled_contours_and_lines_lines() -> None:
    assert plot.kinds_of(bowl())[0] == "contourf"
    assert plot.kinds_of(line()) == ("line",)
    assert len(plot.draw(line()).axes) == 2
    assert not [one for one in plot.draw(bowl()).axes[0].collections if isinstance(one, QuadMesh)]


@pytest.mark.parametrize(
    ("surface", "kind", "text"),
    [
        (bowl(), "line", "--kind line does not fit a plane of 9 x 7 points; use contourf or contour or heat"),
        (line(), "heat", "--kind heat does not fit a line of 9 points; use line"),
        (bowl(1, 9), "contour", "--kind contour does not fit a plane of 9 x 1 points; use heat"),
        (bowl(), "pie", "must be one of line, contourf, contour, heat, surface, got 'pie'"),
    ],
)
def test_a_kind_that_does_not_fit_is_refused(surface: Surface, kind: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        plot.draw(surface, kind=kind)


def test_an_unknown_metric_is_refused_with_those_there_are() -> None:
    for surface in (bowl(), line()):
        with pytest.raises(InputError, match=r"no 'val_loss'; it has .*train_loss"):
            plot.draw(surface, metric="val_loss")


# where values are drawn


def test_a_heat_map_has_each_value_at_its_alpha_and_beta() -> None:
    values = np.arange(1.0, 16.0).reshape(3, 5)
    surface = a_surface({"train_loss": values}, alpha=np.linspace(0, 4, 5), beta=[10.0, 20.0, 30.0])
    figure = plot.draw(surface, kind="heat")
    mesh = mesh_of(figure)
    np.testing.assert_array_equal(mesh.get_array(), values)
    corners = mesh.get_coordinates()  # [j, i, (x, y)]
    np.testing.assert_allclose(corners[0, :, 0], [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5])
    np.testing.assert_allclose(corners[:, 0, 1], [5, 15, 25, 35])
    assert figure.axes[0].get_xlim() == (-0.5, 4.5)
    assert figure.axes[0].get_ylim() == (5, 35)


@pytest.mark.parametrize("kind", ["contour", "contourf"])
def test_contours_cross_where_the_values_are(kind: str) -> None:
    alpha, beta = np.linspace(-2, 2, 9), np.linspace(0, 1, 4)
    surface = a_surface({"train_loss": np.broadcast_to(3 + alpha, (4, 9))}, alpha=alpha, beta=beta)
    for exact, tolerance in ((True, 1e-12), (False, 1e-2)):
        axes = plot.draw(surface, kind=kind, exact=exact).axes[0]
        assert axes.get_xlim() == (-2, 2)
        assert axes.get_ylim() == (0, 1)
        lines = axes.collections[-1]
        for level, path in zip(lines.levels, lines.get_paths(), strict=True):
            np.testing.assert_allclose(path.vertices[:, 0], level - 3, atol=tolerance)


def test_the_relief_is_as_high_as_the_values_and_cut_where_clipped() -> None:
    figure = plot.draw(bowl(), kind="surface", vmax=0.7)
    axes: Any = figure.axes[0]
    assert axes.get_zlim() == pytest.approx((0.1 - 0.3 * 0.6, 0.7))  # the floor with its contours is lower
    assert "clipped above 0.7" in render(figure)


def test_circles_stay_round_where_the_ranges_are_similar() -> None:
    assert plot.draw(bowl(), kind="heat").axes[0].get_box_aspect() == pytest.approx(0.75)
    flat = a_surface({"train_loss": bowl()["train_loss"]}, beta=np.linspace(-0.1, 0.1, 7))
    assert plot.draw(flat, kind="heat").axes[0].get_box_aspect() is None


def test_the_centre_is_marked_only_where_it_is_in_the_picture() -> None:
    far = a_surface({"train_loss": bowl()["train_loss"]}, alpha=np.linspace(1, 2, 9))
    assert len(plot.draw(bowl(), kind="heat").axes[0].lines) == 1
    assert len(plot.draw(far, kind="heat").axes[0].lines) == 0


# scales


def test_the_scale_is_logarithmic_where_losses_differ_much() -> None:
    small, large = np.linspace(0.1, 2, 50), np.geomspace(0.1, 1e5, 50)
    assert not choose_scale(small, ScaleOptions(), by_factors=True).log
    assert choose_scale(large, ScaleOptions(), by_factors=True).log
    assert not choose_scale(large, ScaleOptions(log=False), by_factors=True).log
    assert choose_scale(small, ScaleOptions(log=True), by_factors=True).log
    assert not choose_scale(large, ScaleOptions(), by_factors=False).log
    assert not choose_scale(large - 0.1, ScaleOptions(), by_factors=True).log  # zero has no logarithm
    assert not choose_scale(large, ScaleOptions(vmax=2), by_factors=True).log  # what is shown differs little


def test_a_logarithmic_picture_is_labelled_in_the_values_own_unit() -> None:
    figure = plot.draw(bowl(steep=1e3), kind="heat")
    assert mesh_of(figure).get_array().max() == pytest.approx(np.log10(bowl(steep=1e3)["train_loss"].max()))
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == ["0.1", "0.3", "1", "3", "10", "30",
                                                                              "100", "300", "1000"]  # fmt: skip


def test_a_linear_scale_keeps_the_centre_readable() -> None:
    values = np.geomspace(0.05, 1e6, 400)
    scale = choose_scale(values, ScaleOptions(log=False), by_factors=True)
    assert scale.above
    assert scale.extend == "max"
    assert 0.2 < np.mean(values <= scale.high) < 0.6
    assert "clipped above" in render(plot.draw(bowl(21, 21, steep=1e5), log=False, vmax=1000))


def test_parabolas_and_plateaus_are_not_clipped() -> None:
    x, y = np.meshgrid(np.linspace(-1, 1, 51), np.linspace(-1, 1, 51))
    plateau = np.where(np.hypot(x, y) < 0.9, 0.1, 2.3)
    for values in (x**2 + y**2, 1e-3 + x**2 + y**2, plateau):
        for log in (False, None):
            scale = choose_scale(values, ScaleOptions(log=log), by_factors=True)
            assert scale.extend == "neither"
            assert scale.high == values.max()


def test_limits_of_the_user_win() -> None:
    scale = choose_scale(np.geomspace(0.1, 1e5, 50), ScaleOptions(vmin=0.2, vmax=50), by_factors=True)
    assert (scale.low, scale.high, scale.extend) == (0.2, 50, "both")
    assert plot.draw(bowl(), kind="heat", vmin=0.2, vmax=0.9).axes[1].get_ylim() == pytest.approx((0.2, 0.9))
    assert plot.draw(line(), vmax=0.9).axes[0].get_ylim()[1] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"vmin": 2.0, "vmax": 1.0}, "--vmin must be below --vmax, got 2 and 1"),
        ({"vmax": float("nan")}, "--vmax must be a finite number"),
        ({"vmin": 50.0}, "leave nothing of the values, which are 0.1 to"),
        ({"vmin": 0.0, "log": True}, "must be positive on a logarithmic scale; use --linear"),
        ({"levels": 0}, "--levels must be at least 1, got 0"),
        ({"levels": "0:10:0.01"}, "expected a step that gives 1 to 200 values, got 1001"),
        ({"levels": "0:10:-1"}, "expected a step that gives 1 to 200 values, got 0"),
        ({"levels": "1,x"}, "--levels must be a number such as 12, values such as 0.5,1,2 or FIRST:LAST:STEP"),
        ({"levels": [2.0, 1.0]}, "--levels must be finite values that rise"),
        ({"levels": "0,1", "log": True}, "--levels must be positive on a logarithmic scale"),
        ({"style": "poster"}, "--style must be one of plain, paper, got 'poster'"),
        ({"cmap": "virdis", "kind": "heat"}, "matplotlib has no colour map virdis; did you mean viridis"),
        ({"font": "Comic Serif"}, "matplotlib finds no font Comic Serif; give serif, "),
        ({"font_size": 0}, "--font-size must be from 1 to 100 points, got 0"),
        ({"size": "7"}, "--size: expected WIDTHxHEIGHT in inches, such as 7x5, got 7"),
        ({"size": (7, 500)}, "--size must be from 1 to 100 inches each"),
        ({"marks": ["x"]}, "--mark: expected ALPHA,BETA=TEXT such as 0.5,-0.2=epoch 30, got x"),
        ({"marks": [(0, float("nan"))]}, "--mark: expected ALPHA,BETA=TEXT"),
        ({"marks": ["0,0"], "kind": "surface"}, "--mark does not fit --kind surface"),
        ({"marginals": True, "kind": "surface"}, "--marginals does not fit --kind surface"),
        ({"elev": 91}, "--elev must be degrees from -90 to 90, got 91"),
        ({"azim": float("inf")}, "--azim must be degrees"),
        ({"zoom": 0}, "--zoom must be from 0.1 to 10, got 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        plot.draw(bowl(), **options)


def test_a_logarithm_of_nothing_positive_is_refused_and_zeros_are_below() -> None:
    with pytest.raises(InputError, match="needs positive values"):
        plot.draw(a_surface({"train_loss": np.zeros((3, 3))}), log=True)
    scale = choose_scale(np.array([0.0, 0.1, 1.0, 10.0]), ScaleOptions(log=True), by_factors=True)
    assert (scale.low, scale.extend) == (0.1, "min")
    assert scale.transform([0.0])[0] < scale.limits[0]


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(0.05, 1e6, True), (0.1, 7, True), (1e-30, 1e30, True), (2.3025, 2.3026, False), (0, 1, False)],
)
@pytest.mark.parametrize("count", [1, 3, 12, 40])
def test_levels_are_round_inside_and_not_too_many(low: float, high: float, log: bool, count: int) -> None:
    levels = round_values(low, high, count, log=log)
    assert 1 <= len(levels) <= count
    assert (np.diff(levels) > 0).all()
    assert low <= levels[0]
    assert levels[-1] <= high


def test_more_levels_are_more_contours() -> None:
    few, many = (len(plot.draw(bowl(), kind="contour", levels=n).axes[0].collections[-1].levels) for n in (4, 20))
    assert 2 <= few <= 4
    assert 10 <= many <= 20


def test_numbers_next_to_each_other_are_written_differently() -> None:
    scale = choose_scale(np.linspace(2.302580, 2.302590, 9), ScaleOptions(), by_factors=True)
    assert len({scale.write(level) for level in scale.levels}) == len(scale.levels)
    assert choose_scale(np.geomspace(0.1, 1e7, 9), ScaleOptions(), by_factors=True).write(6) == "$10^{6}$"


def test_accuracies_are_percentages_and_dark_where_high() -> None:
    figure = plot.draw(bowl(), kind="heat", metric="train_accuracy")
    written = render(figure)
    assert "train accuracy" in written
    assert "80%" in written
    low, high = (np.mean(mesh_of(figure).cmap(end)[:3]) for end in (0.0, 1.0))
    assert high < low


# points without a value


def test_missing_points_are_blank_counted_and_apart() -> None:
    values = bowl()["train_loss"].copy()
    status = np.full(values.shape, DONE, dtype=np.uint8)
    values[0, 0], status[0, 0] = np.inf, NOT_FINITE
    values[5:, :], status[5:, :] = np.nan, PENDING
    surface = a_surface({"train_loss": values}, status=status)
    for kind in plot.KINDS[1:]:
        assert "1 point not finite, 18 pending" in render(plot.draw(surface, kind=kind))
    mask = np.ma.getmaskarray(mesh_of(plot.draw(surface, kind="heat")).get_array())
    np.testing.assert_array_equal(mask, ~np.isfinite(values))
    assert plot.draw(surface, kind="heat").axes[0].patches[0].get_hatch()
    assert not plot.draw(bowl(), kind="heat").axes[0].patches


def test_a_line_breaks_where_not_finite_and_is_marked_on_top() -> None:
    values = line()["train_loss"].copy()
    values[[2, 5]] = np.inf, np.nan
    status = np.full(9, DONE, dtype=np.uint8)
    status[2], status[5] = NOT_FINITE, PENDING
    figure = plot.draw(a_surface({"train_loss": values}, status=status))
    drawn, marks = figure.axes[0].lines[:2]
    np.testing.assert_array_equal(np.isnan(np.asarray(drawn.get_ydata())), ~np.isfinite(values))
    np.testing.assert_array_equal(marks.get_xdata(), [-0.5])
    assert "1 point not finite, 1 pending" in render(figure)


EXTREMES: dict[str, Any] = {
    "constant": np.full((4, 5), 2.3),
    "zero": np.zeros((4, 5)),
    "negative": -np.arange(20.0).reshape(4, 5),
    "nothing finite": np.full((4, 5), np.nan),
    "one finite": np.where(np.arange(20).reshape(4, 5) == 7, 1.0, np.inf),
    "one outlier": np.where(np.arange(20).reshape(4, 5) == 7, 1e30, 1.0),
    "huge": np.geomspace(1e-44, 3e38, 20).reshape(4, 5),
    "nearly equal": 2.3 + 1e-14 * np.arange(20).reshape(4, 5),
    "two by two": np.array([[1.0, 2.0], [3.0, 4.0]]),
    "row": np.arange(1.0, 6.0)[None, :],
    "column": np.arange(1.0, 6.0)[:, None],
    "point": np.array([[1.0]]),
    "line": np.arange(5.0),
    "line of one": np.array([1.0]),
    "line of nothing": np.full(5, np.inf),
    "line of equals": np.ones(5),
}


@pytest.mark.slow
@pytest.mark.parametrize("values", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("log", [None, False])
def test_no_surface_is_too_odd_to_draw(values: Any, log: bool | None) -> None:
    alpha = np.zeros(1) if values.shape[-1] == 1 else None
    beta = np.zeros(1) if values.ndim == 2 and len(values) == 1 else None
    surface = a_surface({"train_loss": values}, alpha=alpha, beta=beta)
    for kind in plot.kinds_of(surface):
        assert "train loss" in render(plot.draw(surface, kind=kind, log=log))


# lines


def test_a_line_has_losses_on_the_left_and_accuracies_on_the_right_axis() -> None:
    figure = plot.draw(line())
    losses, accuracies = figure.axes
    assert losses.get_position().bounds == accuracies.get_position().bounds
    assert [axes.yaxis.get_label_position() for axes in figure.axes] == ["left", "right"]
    assert losses.get_ylabel() == "loss (nats per sample)"
    assert accuracies.get_ylabel() == "accuracy"
    assert [(one.get_label(), one.get_linestyle()) for one in losses.lines[:2]] == [("train", "-"), ("test", "--")]
    np.testing.assert_allclose(losses.lines[1].get_ydata(), line()["test_loss"])
    np.testing.assert_allclose(losses.lines[2].get_xdata(), [0, 0])  # the hairline
    assert losses.get_xlim() == (-1, 1)
    assert [(one.get_label(), one.get_linestyle()) for one in accuracies.lines] == [("train", "-"), ("test", "--")]
    np.testing.assert_allclose(accuracies.lines[1].get_ydata(), line()["test_accuracy"])
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["train loss", "test loss", "train accuracy", "test accuracy"]
    colours = {axes.yaxis.label.get_color() for axes in figure.axes}
    assert [{one.get_color() for one in axes.lines[:2]} for axes in figure.axes] == [
        {axes.yaxis.label.get_color()} for axes in figure.axes
    ]
    assert len(colours) == 2


def test_a_line_of_one_metric_has_one_panel() -> None:
    (axes,) = plot.draw(line(), metric="test_accuracy").axes
    assert axes.get_ylabel() == "test accuracy"
    np.testing.assert_allclose(axes.lines[0].get_ydata(), line()["test_accuracy"])


def test_a_steep_line_is_logarithmic_unless_told_otherwise() -> None:
    steep = a_surface({"train_loss": np.geomspace(0.01, 1e6, 41)})
    assert plot.draw(steep).axes[0].get_yscale() == "log"
    axes = plot.draw(steep, log=False).axes[0]
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[1] < 1e3


# side by side


@pytest.mark.parametrize("kind", plot.KINDS[1:])
def test_side_by_side_shares_one_scale_and_one_colour_bar(kind: str) -> None:
    figure = plot.side_by_side([bowl(), bowl(9, 5, steep=1.5)], ["one", "two"], kind=kind)
    assert len(figure.axes) == 3
    assert "one" in render(figure)
    drawn = [[one for one in axes.collections if one.get_array() is not None] for axes in figure.axes[:2]]
    mappables = [found[0 if kind == "contourf" else -1] for found in drawn if found]
    assert len({(one.norm.vmin, one.norm.vmax) for one in mappables}) <= 1
    if kind == "heat":
        assert mappables[0].norm.vmax == bowl(steep=1.5)["train_loss"].max()


def test_axes_are_shared_where_the_grids_agree() -> None:
    alike = plot.side_by_side([bowl(), bowl(steep=2)], ["one", "two"])
    assert [axes.get_ylabel() for axes in alike.axes[:2]] == [r"$\beta$ (along $\eta$)", ""]
    apart = plot.side_by_side([bowl(), bowl(5, 9)], ["one", "two"])
    assert apart.axes[1].get_ylabel() == r"$\beta$ (along $\eta$)"


def test_many_surfaces_are_drawn_in_rows() -> None:
    figure = plot.side_by_side([bowl()] * 5, list("abcde"))
    render(figure)
    assert [axes.get_title() for axes in figure.axes[:-1]] == list("abcde")
    rows = {round(axes.get_position().y0, 3) for axes in figure.axes[:-1]}
    assert len(rows) == 2


def test_lines_side_by_side_share_their_axes_and_have_a_legend() -> None:
    figure = plot.side_by_side([line(), line()], ["small", "large"])
    assert len(figure.axes) == 2
    legend = figure.axes[0].get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["small, train", "small, test", "large, train", "large, test"]
    assert len({one.get_color() for one in figure.axes[0].lines[:4]}) == 2


def test_lines_are_told_apart_by_markers_too_and_single_points_show() -> None:
    alpha = np.linspace(-1, 1, 401)
    loss = 1 + alpha**2
    loss[[101, 103]] = np.inf
    gaps = a_surface({"train_loss": loss}, alpha=alpha)
    first, second = plot.side_by_side([gaps, line()], ["a", "b"], metric="train_loss").axes[0].lines[:3:2]
    assert first.get_marker() != second.get_marker()
    marked = first.get_markevery()
    assert 102 in marked
    assert 10 < len(marked) < 30


def seeds(*steepness: float) -> list[Surface]:
    alpha = np.linspace(-1, 1, 9)
    losses = [0.1 + steep * alpha**2 for steep in steepness]
    return [a_surface({"train_loss": loss, "train_accuracy": 1 / (1 + loss)}, alpha=alpha) for loss in losses]


def test_a_band_is_the_mean_and_range_of_lines_of_one_name() -> None:
    figure = plot.side_by_side(seeds(1, 2, 6), ["net"] * 3, band=True)
    losses, accuracies = figure.axes
    assert losses.get_title(loc="left") == "net"
    mean = losses.lines[0]
    np.testing.assert_allclose(mean.get_ydata(), 0.1 + 3 * np.linspace(-1, 1, 9) ** 2)
    (outline,) = losses.collections[0].get_paths()
    assert outline.vertices[:, 1].max() == pytest.approx(6.1)
    at_the_end = outline.vertices[outline.vertices[:, 0] == 1, 1]
    assert (at_the_end.min(), at_the_end.max()) == pytest.approx((1.1, 6.1))
    assert len(accuracies.collections) == 1
    assert "range of 3, line: mean" in render(figure)


def test_bands_of_several_names_share_their_panels() -> None:
    figure = plot.side_by_side(seeds(1, 2, 5, 6), ["small", "small", "large", "large"], band=True)
    losses, accuracies = figure.axes
    assert losses.get_position().y0 > accuracies.get_position().y0
    assert [one.get_label() for one in losses.lines[:2]] == ["small", "large"]
    np.testing.assert_allclose([one.get_ydata()[0] for one in losses.lines[:2]], [1.6, 5.6])
    assert len(losses.collections) == 2


def test_a_band_breaks_where_a_line_has_no_value() -> None:
    one, two = seeds(1, 2)
    broken = two["train_loss"].copy()
    broken[2] = np.inf
    holed = a_surface({"train_loss": broken, "train_accuracy": two["train_accuracy"]}, alpha=two.alpha)
    figure = plot.side_by_side([one, holed], ["net", "net"], band=True)
    assert np.flatnonzero(np.isnan(np.asarray(figure.axes[0].lines[0].get_ydata()))).tolist() == [2]
    np.testing.assert_array_equal(figure.axes[0].lines[1].get_xdata(), [-0.5])
    assert "1 point not known of all" in render(figure)


def test_what_makes_no_band_is_refused() -> None:
    with pytest.raises(InputError, match="'a' has 9 points from -1 to 1 and 5 points from 0 to 2"):
        plot.side_by_side(
            [*seeds(1), a_surface({"train_loss": np.ones(5)}, alpha=np.linspace(0, 2, 5))], ["a", "a"], band=True
        )
    with pytest.raises(InputError, match="only lines are drawn with a band"):
        plot.side_by_side([bowl(), bowl()], ["a", "a"], band=True)


def test_what_cannot_stand_side_by_side_is_refused() -> None:
    with pytest.raises(InputError, match="lines and planes"):
        plot.side_by_side([bowl(), line()], ["a", "b"])
    with pytest.raises(InputError, match="one label for each surface, got 1 for 2"):
        plot.side_by_side([bowl(), bowl()], ["a"])


# files


@pytest.mark.slow
def test_pictures_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    for suffix in plot.FORMATS:
        first, second = (plot.save(plot.draw(bowl()), tmp_path / f"{name}.{suffix}", overwrite=False) for name in "ab")
        assert first.read_bytes() == second.read_bytes()
        assert first.stat().st_size > 1000
    assert len(list(tmp_path.iterdir())) == 2 * len(plot.FORMATS)


def test_a_picture_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"a\.png exists; give --overwrite"):
        plot.save(plot.draw(line()), path, overwrite=False)
    assert path.read_text() == "mine"
    assert plot.save(plot.draw(line()), path, overwrite=True).read_bytes().startswith(b"\x89PNG")


def test_a_picture_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, data: bytes) -> None:
        with self.open("wb") as stream:
            stream.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    path = tmp_path / "a.png"
    path.write_text("old")
    with pytest.raises(InputError, match=r"cannot write .*a\.png: No space left on device"):
        plot.save(plot.draw(line()), path, overwrite=True)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a.png", "old")]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.gif", "ends in .png, .pdf, .svg, .eps or .jpg"), ("a", "ends in .png"), ("no/a.png", "there is no folder")],
)
def test_names_that_cannot_be_written_are_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        plot.save(plot.draw(line()), tmp_path / name, overwrite=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_all_pictures_of_a_surface(tmp_path: Path) -> None:
    def names(surface: Surface, stem: str) -> list[str]:
        return [path.name for path in plot.write_all(surface, tmp_path / stem, overwrite=False, format="svg")]

    assert names(bowl(), "v1.0") == [f"v1.0_{kind}.svg" for kind in ("contourf", "contour", "heat", "surface")]
    assert names(line(), "l") == ["l_line.svg"]
    assert names(bowl(1, 5), "row") == ["row_heat.svg"]
    assert len(list(tmp_path.iterdir())) == 6


def surface_file(path: Path, *, done: int = 4, beta: bool = True) -> Path:
    """Write a surface of 4 rows of 5 points, or a line of 5, of which the first ``done`` rows are computed."""
    grid = Grid(Axis(-1, 1, 5), Axis(0, 1, 4) if beta else None)
    store.create(path, grid, METRICS, config={"model": "mlp", "loss": "cross_entropy"}, provenance={})
    file = store.SurfaceFile(path, METRICS)
    for segment in [Work(row, 0, grid.rows[1]) for row in range(grid.rows[0])][:done]:
        loss = 0.1 + segment.row + np.linspace(-1, 1, 5) ** 2
        file.write(results(segment, np.stack([loss, 1 / (1 + loss), np.ones(5)], axis=1)), rank=0)
    file.close()
    return path


DEFAULTS: dict[str, Any] = {"labels": [], "format": "png", "out": None, "overwrite": False}
ALL = plot.PictureOptions()


@pytest.mark.slow
def test_one_file_is_drawn_in_every_way_beside_it(tmp_path: Path) -> None:
    pictures = draw_files([surface_file(tmp_path / "s.h5")], ALL, **DEFAULTS)
    assert pictures == [tmp_path / f"s_{kind}.png" for kind in ("contourf", "contour", "heat", "surface")]
    assert all(picture.is_file() for picture in pictures)


@pytest.mark.slow
def test_one_kind_or_one_name_is_one_picture(tmp_path: Path) -> None:
    file = surface_file(tmp_path / "s.h5")
    assert draw_files([file], plot.PictureOptions(kind="heat"), **DEFAULTS | {"format": "pdf"}) == [
        tmp_path / "s_heat.pdf"
    ]
    assert draw_files([file], ALL, **DEFAULTS | {"out": tmp_path / "mine.svg"}) == [tmp_path / "mine.svg"]
    line_file = surface_file(tmp_path / "l.h5", beta=False)
    assert draw_files([line_file], ALL, **DEFAULTS) == [tmp_path / "l_line.png"]


@pytest.mark.slow
def test_several_files_are_drawn_side_by_side(tmp_path: Path) -> None:
    files = [surface_file(tmp_path / "a.h5"), surface_file(tmp_path / "b.h5")]
    assert draw_files(files, ALL, **DEFAULTS) == [tmp_path / "a_side_by_side.png"]
    out = tmp_path / "both.svg"
    assert draw_files(files, ALL, **DEFAULTS | {"out": out, "labels": ["first", "second"]}) == [out]
    with pytest.raises(InputError, match="one --label for each file, got 1 for 2"):
        draw_files(files, ALL, **DEFAULTS | {"labels": ["first"]})


def test_files_of_several_seeds_are_drawn_as_a_band(tmp_path: Path) -> None:
    files = [surface_file(tmp_path / f"seed{seed}.h5", beta=False) for seed in range(3)]
    assert draw_files(files, plot.PictureOptions(band=True), **DEFAULTS) == [tmp_path / "seed0_band.png"]


@pytest.mark.slow
def test_nothing_is_drawn_where_one_picture_is_in_the_way(tmp_path: Path) -> None:
    file = surface_file(tmp_path / "s.h5")
    (tmp_path / "s_surface.png").write_text("mine")
    with pytest.raises(InputError, match=r"s_surface\.png exists; give --overwrite"):
        draw_files([file], ALL, **DEFAULTS)
    assert not (tmp_path / "s_contourf.png").exists()
    assert len(draw_files([file], ALL, **DEFAULTS | {"overwrite": True})) == 4


def test_an_unfinished_surface_is_drawn_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = surface_file(tmp_path / "s.h5", done=3)
    with caplog.at_level(logging.WARNING):
        draw_files([file], plot.PictureOptions(kind="heat"), **DEFAULTS)
    assert "5 of 20 points are pending and drawn blank" in caplog.text


def test_a_surface_of_which_nothing_is_computed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no point has been computed yet"):
        draw_files([surface_file(tmp_path / "s.h5", done=0)], ALL, **DEFAULTS)
    with pytest.raises(InputError, match="no such file"):
        draw_files([tmp_path / "none.h5"], ALL, **DEFAULTS)
