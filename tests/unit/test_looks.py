"""What a user may choose of a picture: camera, size, fonts, colours, marks, marginal lines; light; seals of files."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from lossgrid import plot
from lossgrid.errors import InputError
from lossgrid.plot.camera import Camera
from lossgrid.plot.coordinates import drawn_axis
from lossgrid.plot.relief import _lit, _normals
from lossgrid.plot.seal import is_sealed
from lossgrid.surface import Surface
from tests.builders import a_surface

AXIS = np.linspace(-1, 1, 9)
LOSS = 0.5 + AXIS**2 + 2 * AXIS[:, None] ** 2


def bowl(**changes: Any) -> Surface:
    return dataclasses.replace(a_surface({"train_loss": LOSS}, alpha=AXIS, beta=AXIS), **changes)


def line() -> Surface:
    return a_surface({"train_loss": 0.5 + AXIS**2}, alpha=AXIS)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


# reliefs


def test_a_relief_is_seen_from_where_the_user_says() -> None:
    axes: Any = plot.draw(bowl(), kind="surface", elev=20, azim=110, zoom=2).axes[0]
    assert (axes.elev, axes.azim) == (20, 110)


def test_normals_are_those_of_the_plane_that_a_tilted_plane_is() -> None:
    axis = drawn_axis(AXIS, "alpha")
    tilted = _normals(axis, axis, np.tile(np.linspace(0, 1, 9), (9, 1)))
    np.testing.assert_allclose(
        tilted, np.broadcast_to(np.array([-0.6, 0, 1]) / np.hypot(0.6, 1), (9, 9, 3)), atol=1e-12
    )


def test_what_faces_the_light_is_brighter_than_what_turns_away_and_grey_stays_grey() -> None:
    axis, grey = drawn_axis(AXIS, "alpha"), np.full((9, 9, 3), 0.5)
    camera = Camera(elev=30, azim=-90)  # the light comes from the left of the viewer: where alpha is low
    up, down = (
        _lit(_normals(axis, axis, np.tile(sign * np.linspace(0, 1, 9), (9, 1))), grey, camera) for sign in (1, -1)
    )
    assert up.mean() > down.mean()
    assert (np.ptp(up, axis=2) < 1e-12).all()


def test_a_relief_is_open_above_the_scale_and_where_nothing_is_known() -> None:
    values = LOSS.copy()
    values[4, 4] = np.nan
    surface = bowl(values={"train_loss": values})

    def visible(**options: Any) -> int:
        relief = plot.draw(surface, kind="surface", exact=True, **options).axes[0].collections[0]
        return int(np.count_nonzero(np.asarray(relief.get_facecolor())[:, 3]))  # as matplotlib draws it

    assert visible() == 64 - 4
    assert visible(vmax=2.0, log=False) < 64 - 4


# looks


def test_the_paper_shows_a_relief_without_axes_floor_and_bar() -> None:
    (axes,) = plot.draw(bowl(), kind="surface", style="paper").axes
    assert not axes.axison
    assert len(axes.collections) == 1


def test_colours_bars_titles_and_sizes_are_those_asked_for() -> None:
    figure = plot.draw(bowl(), kind="heat", cmap="cividis", colorbar=False, title="mine", size="5x4")
    assert len(figure.axes) == 1
    cmap = figure.axes[0].collections[0].cmap
    np.testing.assert_allclose(cmap(0.3), matplotlib.colormaps["cividis"](0.3), atol=0.01)
    assert tuple(figure.get_size_inches()) == (5, 4)
    assert "mine" in texts(figure)


@pytest.mark.parametrize("kind", ["contourf", "surface", "line"])
def test_a_picture_of_a_given_size_has_it_to_the_pixel(tmp_path: Path, kind: str) -> None:
    surface = line() if kind == "line" else bowl()
    path = plot.save(plot.draw(surface, kind=kind, size=(5, 4), exact=True), tmp_path / "a.png", dpi=50)
    with Image.open(path) as picture:
        assert picture.size == (250, 200)


def test_fonts_are_those_asked_for_also_of_ticks() -> None:
    figure = plot.draw(bowl(), kind="heat", font="monospace", font_size=13)
    with matplotlib.rc_context({"font.family": "serif"}):  # whatever holds when it is drawn
        figure.draw_without_rendering()
    ticks = figure.axes[0].get_xticklabels()
    assert {tick.get_family()[0] for tick in ticks} == {"monospace"}
    assert figure.axes[0].xaxis.label.get_size() == 13


def test_settings_of_the_user_win_over_ours() -> None:
    with matplotlib.rc_context({"font.size": 15, "font.family": "serif"}):
        figure = plot.draw(bowl(), kind="heat")
        assert figure.axes[0].xaxis.label.get_size() == 15
        assert figure.axes[0].xaxis.label.get_family() == ["serif"]
    assert plot.draw(bowl(), kind="heat").axes[0].xaxis.label.get_size() == 9


def test_marks_are_where_the_user_says_in_planes_and_lines() -> None:
    marks = ["0.5,-0.25=epoch 30", (0, 0.5), "7,7=far"]
    axes = plot.draw(bowl(), kind="contour", marks=marks).axes[0]
    rings = [one for one in axes.lines if one.get_marker() == "o"]
    assert [(one.get_xdata()[0], one.get_ydata()[0]) for one in rings] == [(0.5, -0.25), (0, 0.5)]
    assert "epoch 30" in texts(axes.figure)
    drawn = plot.draw(line(), marks=["0.5=b"]).axes[0]
    assert [0.5, 0.5] in [list(one.get_xdata()) for one in drawn.lines]
    assert "b" in texts(drawn.figure)


def test_marginal_lines_are_the_row_and_the_column_of_the_centre() -> None:
    figure = plot.draw(bowl(), kind="contourf", marginals=True, log=False)
    above, beside = figure.axes[0].child_axes
    np.testing.assert_allclose(above.lines[0].get_ydata(), 0.5 + AXIS**2)
    np.testing.assert_allclose(beside.lines[0].get_xdata(), 0.5 + 2 * AXIS**2)
    figure.draw_without_rendering()
    assert figure.axes[0].title.get_window_extent().y0 > above.get_window_extent().y1


def test_marginal_lines_leave_the_labels_of_other_grids() -> None:
    other = a_surface({"train_loss": LOSS}, alpha=AXIS, beta=2 * AXIS)
    figure = plot.side_by_side([bowl(), other], ["a", "b"], marginals=True, kind="heat")
    assert figure.axes[1].get_ylabel() == figure.axes[0].get_ylabel() != ""


# files


@pytest.mark.parametrize("dpi", [1, 1e6, float("nan")])
def test_a_resolution_that_cannot_be_is_refused(tmp_path: Path, dpi: float) -> None:
    with pytest.raises(InputError, match="--dpi must be from 10 to 2400"):
        plot.save(plot.draw(line()), tmp_path / "a.png", dpi=dpi)
    assert not list(tmp_path.iterdir())


def test_a_picture_that_is_far_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--size and --dpi give 5.8e\+08 pixels, expected at most 4e\+08"):
        plot.save(plot.draw(line(), size=(100, 100)), tmp_path / "a.png", dpi=240)


def test_a_relief_has_the_seal_too(tmp_path: Path) -> None:
    for suffix in ("png", "jpg"):
        path = plot.save(plot.draw(bowl(id="one"), kind="surface", exact=True), tmp_path / f"a.{suffix}", dpi=40)
        assert is_sealed(path.read_bytes(), ["one"])
        with Image.open(path) as picture:
            picture.load()


def test_a_notebook_shows_a_relief_in_its_own_size() -> None:
    figure = plot.draw(bowl(), kind="surface", exact=True, size=(5, 4))
    with Image.open(io.BytesIO(figure._repr_png_())) as picture:
        assert picture.size == (5 * figure.get_dpi(), 4 * figure.get_dpi())


@pytest.mark.slow
@pytest.mark.parametrize("suffix", plot.FORMATS)
def test_a_picture_of_the_same_surface_is_replaced_others_are_not(tmp_path: Path, suffix: str) -> None:
    path, figure = tmp_path / f"a.{suffix}", plot.draw(bowl(id="one"), kind="heat")
    plot.save(figure, path)
    assert is_sealed(path.read_bytes(), ["one"])
    if suffix in ("png", "jpg"):
        with Image.open(path) as picture:
            picture.load()  # whole, with its checksums
    plot.save(plot.draw(bowl(id="one"), kind="heat", title="other"), path)
    for other in (bowl(id="two"), bowl()):
        with pytest.raises(InputError, match="exists; give --overwrite"):
            plot.save(plot.draw(other, kind="heat"), path)
    content = path.read_bytes()
    path.write_bytes(content[:-3] + b"\n" + content[-3:])  # someone has edited it
    with pytest.raises(InputError, match="exists; give --overwrite"):
        plot.save(figure, path)


def test_all_pictures_of_a_surface_are_drawn_again(tmp_path: Path) -> None:
    surface = a_surface({"train_loss": LOSS[:1]}, alpha=AXIS, beta=[0.0])
    surface = dataclasses.replace(surface, id="one")
    for _ in range(2):
        plot.write_all(surface, tmp_path / "s", overwrite=False)
    (tmp_path / "s_heat.png").write_text("mine")
    with pytest.raises(InputError, match="exists; give --overwrite"):
        plot.write_all(surface, tmp_path / "s", overwrite=False)
