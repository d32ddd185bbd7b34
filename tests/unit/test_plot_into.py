"""Pictures in axes of the user, and in notebooks."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from lossgrid import plot
from lossgrid.errors import InputError
from lossgrid.surface import Origin, Surface
from tests.builders import a_surface

ALPHA, BETA = np.linspace(-1, 1, 5), np.linspace(-1, 1, 4)
PLANE = a_surface({"train_loss": 0.5 + ALPHA[None, :] ** 2 + BETA[:, None] ** 2}, alpha=ALPHA, beta=BETA)
LOSSES = {"train_loss": 0.5 + ALPHA**2, "test_loss": 0.7 + ALPHA**2}
LINE = a_surface({**LOSSES, "train_accuracy": 1 - ALPHA**2 / 2}, alpha=ALPHA)


@pytest.mark.parametrize("kind", ["contourf", "contour", "heat"])
def test_a_plane_is_drawn_into_the_users_axes(kind: str) -> None:
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot.draw(PLANE, ax=left, kind=kind, title="mine") is left
    assert left.get_title() == "mine"
    assert left.get_xlim() == pytest.approx((-1, 1) if kind != "heat" else (-1.25, 1.25))
    assert not right.has_data()
    assert len(figure.axes) == 3  # the colour bar
    assert "train loss" in figure.axes[2].get_ylabel()


def test_the_values_in_the_users_axes_are_those_of_the_surface() -> None:
    axes = Figure().subplots()
    plot.draw(PLANE, ax=axes, kind="heat", log=False)
    mesh = next(one for one in axes.collections if isinstance(one, QuadMesh))
    np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(4, 5), PLANE["train_loss"], rtol=1e-15)


def test_a_line_is_drawn_into_the_users_axes_with_a_twin_for_accuracies() -> None:
    figure = Figure()
    axes = figure.subplots()
    plot.draw(LINE, ax=axes)
    assert len(figure.axes) == 2
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), LINE["train_loss"], rtol=1e-12)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["train loss", "test loss", "train accuracy"]


def test_one_metric_of_a_line_needs_no_twin() -> None:
    figure = Figure()
    plot.draw(LINE, ax=figure.subplots(), metric="train_accuracy")
    assert len(figure.axes) == 1
    assert figure.axes[0].get_legend() is None


def test_a_relief_needs_axes_in_three_dimensions_and_is_their_default() -> None:
    figure = Figure()
    solid, flat = figure.add_subplot(1, 2, 1, projection="3d"), figure.add_subplot(1, 2, 2)
    plot.draw(PLANE, ax=solid)
    assert solid.has_data()
    with pytest.raises(InputError, match="kind 'surface' needs axes of projection '3d', got those of projection 'rect"):
        plot.draw(PLANE, ax=flat, kind="surface")
    with pytest.raises(InputError, match="kind 'line' needs flat axes, got those of projection '3d'"):
        plot.draw(LINE, ax=solid)


def test_caveats_and_missing_points_are_written_into_the_users_axes() -> None:
    values = np.where(np.eye(4, 5, dtype=bool), np.nan, PLANE["train_loss"])
    surface = a_surface({"train_loss": values}, alpha=ALPHA, beta=BETA, origin=Origin({"model": "m"}, weights="random"))
    axes = Figure().subplots()
    plot.draw(surface, ax=axes)
    texts = [text.get_text() for text in axes.texts]
    assert any("4 points not finite" in text and "random weights" in text for text in texts)


@pytest.mark.parametrize(
    ("surface", "options", "text"),
    [
        (PLANE, {"ax": [1]}, "ax: expected one pair of axes of matplotlib, got list"),
        (PLANE, {"color": "red"}, "a picture has no option 'color'; it has azim, band, "),
        (a_surface({**LOSSES, "a_top5": ALPHA, "a_ece": ALPHA}, alpha=ALPHA), {"ax": Figure().subplots()}, "metric="),
    ],
)
def test_what_cannot_be_drawn_is_refused(surface: Surface, options: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        plot.draw(surface, **options)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("surface", [PLANE, LINE])
def test_a_figure_shows_itself_in_a_notebook(surface: Surface) -> None:
    shown = plot.draw(surface)._repr_png_()
    assert shown.startswith(b"\x89PNG")


def test_pyplot_knows_no_figure_and_shows_none_twice() -> None:
    program = (
        "import sys, numpy as np\nfrom lossgrid import plot\nfrom tests.unit.test_plot_into import PLANE\n"
        "figure = plot.draw(PLANE)\nfigure._repr_png_()\nloaded = 'matplotlib.pyplot' in sys.modules\n"
        "import matplotlib.pyplot as plt\nplot.draw(PLANE)\nprint(loaded, plt.get_fignums())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False []"
