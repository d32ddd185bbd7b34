"""Whatever a surface holds, it is drawn, compared and exported, or refused in one line; a warning is a fault."""

import csv
import io
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from lossgrid import numbers, plot, store
from lossgrid.cli import comparison
from lossgrid.errors import InputError
from lossgrid.formats import FORMATS, export_file
from lossgrid.plot.scale import ScaleOptions, choose_scale
from lossgrid.surface import Surface
from tests.builders import a_surface
from tests.unit.nasty import AXES, SETS, nasty_surface

REFUSALS = ("no further than rounding", "logarithmic scale needs positive values")


def drawn(figure: Figure) -> str:
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def is_done_or_refused(action: Callable[[], Any], reasons: tuple[str, ...]) -> bool:
    """Tell whether ``action`` returns something, or refuses in one line for one of ``reasons``."""
    try:
        return bool(action())
    except InputError as error:
        return "\n" not in str(error) and any(reason in str(error) for reason in reasons)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_nasty_surfaces_are_drawn_in_every_way(seed: int) -> None:
    surface, other = nasty_surface(seed), nasty_surface(seed + 1000)
    log = (None, False, True)[seed % 3]
    for kind in plot.kinds_of(surface):
        assert is_done_or_refused(partial(draw, surface, kind, log), REFUSALS)
    if surface.is_line == other.is_line:
        assert is_done_or_refused(lambda: drawn(plot.side_by_side([surface, other], ["a", "b"])), REFUSALS)


def draw(surface: Surface, kind: str, log: bool | None) -> str:
    return drawn(plot.draw(surface, kind=kind, log=log))


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_every_set_of_losses_is_drawn_as_line_band_and_plane(name: str) -> None:
    among = np.array(SETS[name])
    values = among[np.arange(30) % len(among)].reshape(5, 6)
    plane, lines = a_surface({"train_loss": values}), [a_surface({"train_loss": row}) for row in values[:3]]
    for figure in (
        *[plot.draw(plane, kind=kind) for kind in plot.kinds_of(plane)],
        plot.draw(lines[0]),
        plot.side_by_side(lines, ["a"] * 3, band=True),
        plot.side_by_side(lines, list("abc")),
    ):
        assert "train loss" in drawn(figure)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in AXES if name != "rounding"])
def test_every_axis_is_drawn(name: str) -> None:
    axis = np.array(AXES[name])
    values = 1.0 + np.arange(float(len(axis)))
    for surface in (
        a_surface({"train_loss": values}, alpha=axis),
        a_surface({"train_loss": values[:, None] + values}, alpha=axis, beta=axis),
    ):
        for kind in plot.kinds_of(surface):
            written = drawn(plot.draw(surface, kind=kind))
            assert ("10^{308}" in written) == (name in ("huge", "largest", "far point"))


@pytest.mark.parametrize(
    ("alpha", "text"),
    [
        ([1.0, 1.0 + 2**-52], "alpha goes from 1.0 to 1.0000000000000002, no further than rounding"),
        ([0.0, np.nan], "alpha must be finite numbers that rise"),
        ([0.0, np.inf], "alpha must be finite numbers that rise"),
        ([1.0, 0.0], "alpha must be finite numbers that rise"),
        ([0.0, 0.0], "alpha must be finite numbers that rise"),
    ],
)
def test_axes_that_are_none_are_refused(alpha: list[float], text: str) -> None:
    with pytest.raises(InputError, match=text):
        plot.draw(a_surface({"train_loss": [1.0, 2.0]}, alpha=alpha))


def test_ticks_tell_values_also_where_places_are_over_a_power_of_ten() -> None:
    scale = choose_scale(np.array([-1.7e308, 0.0, 1.7e308]), ScaleOptions(), by_factors=False)
    assert scale.power == 308
    assert [scale.write(one) for one in scale.transform([-1e308, 0.0, 1.5e308])] == [
        r"$-1\times10^{308}$", "0", r"$1.5\times10^{308}$"
    ]  # fmt: skip
    small = choose_scale(np.array([0.0, 4e-310]), ScaleOptions(), by_factors=True)
    assert small.write(small.transform([2e-310])[0]) == r"$2\times10^{-310}$"


def saved(folder: Path, surface: Surface) -> Path:
    path = folder / "s.h5"
    store.save(path, surface, overwrite=True)
    return path


def numbers_of(file: Path, metric: str) -> list[dict[str, Any]]:
    """Compare a surface with itself; return what programs get, which must be JSON."""
    measured = comparison.compare_files(
        [file, file], metric=metric, radius=0.5, levels=["+0.1", "2x", "+1e308"], log_scale=None, vmax=None, labels=[],
        out=None, draw=False, overwrite=False,
    )  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(comparison.as_csv(measured))))
    assert len(rows) == 2
    assert comparison.as_table(measured).startswith(" ")
    records: list[dict[str, Any]] = json.loads(comparison.as_json(measured), parse_constant=pytest.fail)
    return records


NOT_COMPARED = (
    "rising coordinates along each axis", "steps of at least", "coordinates of at most", "no point of the surface has",
    "no point has been computed", "does not hold the centre", "the value at the centre",
)  # fmt: skip
NOT_EXPORTED = (
    "no further than rounding", "known at no point", "needs positive values", "must be fractions from 0 to 1",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_nasty_surfaces_are_compared_and_exported(tmp_path: Path, seed: int) -> None:
    file = saved(tmp_path, nasty_surface(seed))
    for metric in store.read(file).quantities:
        assert is_done_or_refused(partial(numbers_of, file, metric), NOT_COMPARED)
    for to in FORMATS:
        assert is_done_or_refused(partial(export_file, file, to=to), NOT_EXPORTED)


@pytest.mark.parametrize("unit", [2.0**-1074, 2.0**-1000, 2.0**-700, 2.0**700, 2.0**1018])
def test_numbers_do_not_depend_on_how_large_the_losses_are(unit: float) -> None:
    alpha = np.linspace(-1, 1, 21)
    values = np.round(8 * (alpha**2 + alpha[:, None] ** 2) + np.cos(9 * alpha) + 2)
    plain, extreme = (numbers.of_arrays(values * factor, alpha, alpha) for factor in (1.0, unit))
    assert numbers.centre(extreme) == numbers.centre(plain) * unit
    assert numbers.sharpness(extreme, 0.5).value == pytest.approx(numbers.sharpness(plain, 0.5).value * unit)
    assert numbers.area(extreme, numbers.Level(factor=2)) == numbers.area(plain, numbers.Level(factor=2))
    assert numbers.width(extreme, numbers.Level(factor=2)) == numbers.width(plain, numbers.Level(factor=2))
    assert numbers.roughness(extreme) == pytest.approx(numbers.roughness(plain))
    assert numbers.negative_curvature(extreme) == numbers.negative_curvature(plain)
    assert numbers.convexity(extreme).mean == pytest.approx(numbers.convexity(plain).mean)
    pairs = zip(numbers.minima(extreme), numbers.minima(plain), strict=True)
    for large, small in pairs:
        assert (large.alpha, large.beta, large.loss) == (small.alpha, small.beta, small.loss * unit)
        assert large.persistence == small.persistence * unit


def test_what_is_more_than_a_number_can_be_is_null_in_json(tmp_path: Path) -> None:
    loss = np.array([1.7e308, -1.7e308, -1.6e308, -1.7e308, 1.7e308])
    record = numbers_of(saved(tmp_path, a_surface({"train_loss": loss})), "train_loss")[0]
    assert record["sharpness"] == pytest.approx(0.0, abs=1.0)  # it falls from the centre
    assert record["centre"] == -1.6e308
    assert record["minima_found"][0]["persistence"] is None
    assert math.isfinite(record["minima_found"][1]["persistence"])
