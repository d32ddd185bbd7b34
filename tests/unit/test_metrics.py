"""Numbers of surfaces with a known answer, on grids of all kinds, and with points that are unknown."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossgrid import numbers
from lossgrid.errors import InputError
from lossgrid.numbers import Landscape, Level, envelope, of_arrays
from lossgrid.surface import PENDING, Origin
from tests.builders import a_surface

RISE = Level(rise=0.1)
Function = Callable[[Any, Any], Any]


def even(count: int, reach: float = 1.0) -> Any:
    return np.linspace(-reach, reach, count)


def uneven(count: int, reach: float = 1.0) -> Any:
    """Return coordinates through 0 that are denser there, and denser on one side."""
    share = np.linspace(-1, 1, count)
    return reach * np.where(share < 0, -(np.abs(share) ** 1.5), np.abs(share) ** 1.3)


def plane(function: Function, alpha: Any, beta: Any) -> Landscape:
    columns, rows = np.meshgrid(alpha, beta)
    return of_arrays(function(columns, rows) + 0 * columns, alpha, beta)


def line(function: Callable[[Any], Any], alpha: Any) -> Landscape:
    return of_arrays(function(alpha) + 0 * alpha, alpha)


def bowl(a: float = 2.0, b: float = 3.0, c: float = 0.0) -> Function:
    return lambda x, y: 1.0 + a * x**2 + b * y**2 + c * x * y


def flipped(land: Landscape) -> Landscape:
    """Return the same surface with alpha and beta exchanged."""
    assert land.beta is not None
    return of_arrays(land.values.T, land.beta, land.alpha)


def spoilt(land: Landscape, *places: tuple[int, int], value: float = np.nan) -> Landscape:
    values = land.values.copy()
    for place in places:
        values[place] = value
    return of_arrays(values.reshape(-1) if land.is_line else values, land.alpha, land.beta)


GRIDS = {
    "square": (even(41), even(41)),
    "not square": (even(41), even(25, 1.5)),
    "not evenly spaced": (uneven(41), uneven(33)),
    "centre between points": (even(40), even(30)),
}
grids = pytest.mark.parametrize(("alpha", "beta"), GRIDS.values(), ids=GRIDS)


# what a landscape is


def test_the_centre_is_the_trained_network_also_between_points() -> None:
    assert numbers.centre(plane(bowl(), even(5), even(7))) == 1.0
    tilted = plane(lambda x, y: 3 + 2 * x - y, even(4), even(6))  # linear: exact between points
    assert numbers.centre(tilted) == pytest.approx(3, abs=1e-14)
    assert numbers.centre(line(lambda x: 3 + x, np.array([-0.5, 0.1, 1.5]))) == pytest.approx(3, abs=1e-14)


def test_a_zero_that_rounding_has_moved_is_the_centre() -> None:
    alpha = even(5)
    alpha[2] = 1e-17
    assert numbers.centre(spoilt(line(lambda x: 1 + x**2, alpha), (0, 1))) == 1.0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((np.ones((3, 4)), even(3), even(4)), r"expected values of shape \(4, 3\), got \(3, 4\)"),
        ((np.ones(2), even(2)), "need 3 rising coordinates along each axis, got 2"),
        ((np.ones((1, 3)), even(3), np.zeros(1)), "need 3 rising coordinates along each axis, got 1"),
        ((np.ones(3), np.array([0.0, 2.0, 1.0])), "need 3 rising coordinates"),
        ((np.full(3, np.inf), even(3)), "no point of the surface has a finite value"),
    ],
)
def test_what_is_no_landscape_is_refused(arguments: Any, text: str) -> None:
    with pytest.raises(InputError, match=text):
        of_arrays(*arguments)


def test_a_grid_without_the_centre_is_refused() -> None:
    beside = plane(bowl(), np.linspace(0.5, 1.5, 5), even(5))
    for measure in (numbers.centre, lambda land: numbers.sharpness(land, 0.5), lambda land: numbers.area(land, RISE)):
        with pytest.raises(InputError, match=r"does not hold the centre: alpha goes from 0\.5 to 1\.5"):
            measure(beside)
    with pytest.raises(InputError, match="the centre, alpha = beta = 0, is unknown"):
        numbers.width(spoilt(plane(bowl(), even(5), even(5)), (2, 2)), RISE)


def test_accuracies_become_shares_of_wrong_answers() -> None:
    surface = a_surface({"test_accuracy": np.array([0.5, 0.9, 0.75])})
    np.testing.assert_allclose(numbers.of_surface(surface, "test_accuracy").values, [[0.5, 0.1, 0.25]])


def test_noise_is_what_was_measured_or_what_the_precision_costs() -> None:
    surface = a_surface({"train_loss": np.ones(3)})
    assert numbers.of_surface(surface, "train_loss").noise == 1e-6
    lower = dataclasses.replace(surface, origin=Origin({"precision": "bfloat16"}))
    assert numbers.of_surface(lower, "train_loss").noise == 1e-2
    measured = dataclasses.replace(lower, rounding={"largest": {"train_loss": 3e-3}})
    assert numbers.of_surface(measured, "train_loss").noise == 3e-3


# sharpness


@grids
def test_the_sharpness_of_a_bowl_is_its_steepest_rise(alpha: Any, beta: Any) -> None:
    step = max(np.diff(alpha).max(), np.diff(beta).max())
    for function, steepest in ((bowl(2, 3), 3), (bowl(3, 2), 3), (bowl(2, 2, 2), 3)):
        found = numbers.sharpness(plane(function, alpha, beta), 0.5)
        # Linear between points: too high by at most the curvature times the square of half a step, each way.
        assert found.value == pytest.approx(steepest * 0.5**2, abs=3 * step**2)
        assert not found.is_lower


def test_the_sharpness_of_a_cone_is_exact_between_points() -> None:
    cone = line(np.abs, even(5))
    for radius in (0.1, 0.5, 0.77, 1.0):
        found = numbers.sharpness(cone, radius)
        assert found.value == pytest.approx(radius, abs=1e-14)
        assert not found.is_lower


def test_a_circle_smaller_than_a_cell_still_meets_the_surface() -> None:
    tilted = plane(lambda x, y: 2 * x, even(4), even(4))  # the centre lies in the middle of a cell
    assert numbers.sharpness(tilted, 0.01).value == pytest.approx(0.02, abs=1e-14)


def test_sharpness_is_zero_at_a_summit_and_needs_a_radius() -> None:
    assert numbers.sharpness(plane(bowl(-1, -1), even(5), even(5)), 0.5).value == 0
    for radius in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="the radius must be positive"):
            numbers.sharpness(line(np.abs, even(5)), radius)


def test_sharpness_is_a_lower_bound_where_the_circle_leaves_what_is_known() -> None:
    narrow = plane(bowl(), even(9), even(9, 0.25))
    assert not numbers.sharpness(narrow, 0.25).is_lower
    assert numbers.sharpness(narrow, 0.3).is_lower
    assert numbers.sharpness(flipped(narrow), 0.3).is_lower
    holed = spoilt(plane(bowl(), even(9), even(9)), (4, 5), value=np.inf)
    assert numbers.sharpness(holed, 0.5).is_lower
    assert numbers.sharpness(holed, 0.5).value == pytest.approx(0.75)
    far = spoilt(plane(bowl(), even(9), even(9)), (0, 0))
    assert not numbers.sharpness(far, 0.5).is_lower


# level sets


@grids
def test_the_level_set_of_a_bowl_is_an_ellipse(alpha: Any, beta: Any) -> None:
    step = max(np.diff(alpha).max(), np.diff(beta).max())
    land = plane(bowl(2, 3), alpha, beta)
    rise = 0.5
    top = numbers.centre(land) - 1 + rise  # the centre is too high where it lies between points
    widths = numbers.width(land, Level(rise=rise))
    assert widths is not None
    for found, steepness in zip(widths, (2, 3), strict=True):
        assert found.value == pytest.approx(2 * math.sqrt(top / steepness), abs=step**2)
        assert not found.is_lower
    area = numbers.area(land, Level(rise=rise))
    assert area is not None
    assert area.value == pytest.approx(math.pi * top / math.sqrt(6), rel=3 * step**2 / 0.5)
    assert not area.is_lower


def test_the_area_of_an_ellipse_gets_right_with_the_square_of_the_step() -> None:
    errors = []
    for count in (21, 41, 81):
        area = numbers.area(plane(bowl(2, 3, 1), even(count), even(2 * count - 1)), Level(rise=0.4))
        assert area is not None
        errors.append(abs(area.value - 0.4 * math.pi / math.sqrt(6 - 0.25)))
    assert errors[0] < 1e-2
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


@pytest.mark.parametrize("axes", [(even(21), even(9)), (uneven(21), uneven(9))])
def test_widths_and_areas_are_exact_where_the_surface_is_linear_in_its_triangles(axes: Any) -> None:
    diamond = plane(lambda x, y: np.abs(x) + np.abs(y), *axes)
    for rise in (0.07, 0.35, 0.8, 1.0):
        level = Level(rise=rise)
        area, widths = numbers.area(diamond, level), numbers.width(diamond, level)
        assert area is not None
        assert widths is not None
        assert area.value == pytest.approx(2 * rise**2, rel=1e-12)
        assert [width.value for width in widths] == pytest.approx([2 * rise] * 2, rel=1e-12)


def test_the_width_of_a_line_is_the_distance_of_its_crossings() -> None:
    skewed = line(lambda x: np.where(x < 0, -x, 4 * x), uneven(11))
    assert numbers.width(skewed, RISE) == (numbers.Bound(pytest.approx(0.1 + 0.025, rel=1e-12), is_lower=False),)
    with pytest.raises(InputError, match="a line has no area"):
        numbers.area(skewed, RISE)


def test_only_the_well_of_the_centre_counts() -> None:
    def two_wells(x: Any, y: Any) -> Any:
        return np.minimum(np.abs(x), np.abs(x - 1)) + np.abs(y)

    land = plane(two_wells, np.linspace(-1, 2, 61), even(41))
    apart, joined = numbers.area(land, Level(rise=0.3)), numbers.area(land, Level(rise=0.6))
    assert apart is not None
    assert joined is not None
    assert apart.value == pytest.approx(2 * 0.3**2)
    assert joined.value == pytest.approx(2 * (2 * 0.6**2) - 2 * 0.1**2)  # what the diamonds share counts once
    widths = [numbers.width(land, Level(rise=rise)) for rise in (0.3, 0.6)]
    assert [found[0].value for found in widths if found] == pytest.approx([0.6, 2.2])


def test_the_area_reaches_around_what_the_axis_does_not() -> None:
    def horseshoe(x: Any, y: Any) -> Any:
        ring = np.abs(np.hypot(x - 0.5, y) - 0.5)
        return np.where((np.abs(y) < 0.1) & (x > 0.5), 1.0, ring)

    area = numbers.area(plane(horseshoe, np.linspace(-0.5, 1.5, 81), even(81)), RISE)
    assert area is not None
    assert area.value == pytest.approx(2 * math.pi * 0.5 * 0.2 - 0.2 * 0.2, rel=0.05)


def test_a_level_set_that_touches_the_border_is_a_lower_bound() -> None:
    land = plane(lambda x, y: np.abs(x) + np.abs(y), even(11), even(11, 0.5))
    for rise, beta_is_lower in ((0.45, False), (0.55, True)):
        area, widths = numbers.area(land, Level(rise=rise)), numbers.width(land, Level(rise=rise))
        assert area is not None
        assert widths is not None
        assert area.is_lower is beta_is_lower
        assert [width.is_lower for width in widths] == [False, beta_is_lower]
    assert area.value == pytest.approx(2 * 0.55**2 - 2 * 0.05**2)  # the tips are cut off
    assert widths[1].value == 1.0


def test_a_level_set_that_touches_unknown_points_is_a_lower_bound() -> None:
    land = spoilt(plane(lambda x, y: np.abs(x) + np.abs(y), even(11), even(11)), (5, 6))
    small, large = numbers.area(land, RISE), numbers.area(land, Level(rise=0.3))
    assert small is not None
    assert large is not None
    assert small.is_lower  # the centre itself is beside it
    assert large.value < 2 * 0.3**2
    assert numbers.width(land, Level(rise=0.3)) == (
        numbers.Bound(pytest.approx(0.3), is_lower=True),
        numbers.Bound(pytest.approx(0.6), is_lower=False),
    )
    far = numbers.area(spoilt(land, (5, 6), value=0.2), Level(rise=0.3))
    assert far is not None
    assert not far.is_lower


def test_levels_are_sums_or_multiples() -> None:
    assert (str(Level.parse("+0.10")), str(Level.parse("2x")), str(Level.parse("1.5x"))) == ("+0.1", "2x", "1.5x")
    assert Level.parse("0.5") == Level(rise=0.5)
    assert (Level.parse("+0.5").height(1.5), Level.parse("2x").height(1.5)) == (2.0, 3.0)
    land = plane(lambda x, y: 0.3 + np.abs(x) + np.abs(y), even(21), even(21))
    assert numbers.area(land, Level.parse("2x")) == numbers.area(land, Level.parse("0.3"))
    for text in ("1x", "-0.1", "0", "x", "two", "nan", "inf", "infx", ""):
        with pytest.raises(InputError, match=r"such as \+0.1 or 2x|above the centre"):
            Level.parse(text)


def test_a_multiple_of_nothing_is_no_level() -> None:
    land = plane(lambda x, y: x**2 - 0.0 * y, even(5), even(5))
    assert numbers.width(land, Level(factor=2)) is None
    assert numbers.area(land, Level(factor=2)) is None


# roughness


@pytest.mark.parametrize("waves", [1, 2, 5])
def test_the_roughness_of_a_plane_wave_counts_its_ups_and_downs(waves: int) -> None:
    def wave(x: Any) -> Any:
        return 3 + np.cos(math.pi * waves * x)  # ends at a crest or a trough

    assert numbers.roughness(line(wave, even(40 * waves + 1))) == pytest.approx(2 * waves)
    land = plane(lambda x, y: 7 * wave(x), even(40 * waves + 1), even(6))
    assert numbers.roughness(land) == pytest.approx(2 * waves)
    assert numbers.roughness(flipped(land)) == pytest.approx(2 * waves)


@pytest.mark.parametrize("axis", [even(21), uneven(21)])
def test_a_slope_has_roughness_one_and_a_valley_two(axis: Any) -> None:
    assert numbers.roughness(plane(lambda x, y: np.exp(x + 2 * y), axis, axis)) == pytest.approx(1)
    assert numbers.roughness(plane(lambda x, y: x**2 + y**2, even(21), even(11))) == pytest.approx(2)
    assert numbers.roughness(line(lambda x: 0 * x + 2.3, axis)) == 0


def test_roughness_bridges_what_is_unknown() -> None:
    land = line(lambda x: x**2, even(21))
    assert numbers.roughness(spoilt(land, (0, 3), (0, 10), (0, 11))) == pytest.approx(2)
    assert numbers.roughness(
        spoilt(plane(bowl(), even(5), even(5)), *[(j, i) for j in (0, 4) for i in range(5)])
    ) == pytest.approx(2)


# curvature


@grids
def test_the_hessian_of_a_quadratic_function_is_exact(alpha: Any, beta: Any) -> None:
    cases = [
        (bowl(2, 3, 1), 0.0),
        (bowl(2, 3, -4.8), 0.0),  # nearly a valley without end: 4 * 2 * 3 is just above 4.8^2
        (bowl(2, 3, -5.0), 1.0),
        (bowl(-2, 3), 1.0),
        (bowl(2, -3), 1.0),
        (bowl(-2, -3), 1.0),
        (bowl(0, 0, 0.01), 1.0),
        (lambda x, y: (x + 2 * y) ** 2, 0.0),  # smaller eigenvalue exactly 0
        (lambda x, y: 5 + x - 3 * y, 0.0),
        (lambda x, y: 5.0, 0.0),
    ]
    for function, share in cases:
        assert numbers.negative_curvature(plane(function, alpha, beta)) == (
            share,
            (len(alpha) - 2) * (len(beta) - 2),
        )


@pytest.mark.parametrize("axis", [even(30), uneven(31)])
def test_half_of_a_wave_bends_downwards(axis: Any) -> None:
    assert numbers.negative_curvature(line(lambda x: x**2, axis)) == (0, len(axis) - 2)
    assert numbers.negative_curvature(line(lambda x: -(x**2), axis)) == (1, len(axis) - 2)
    share, count = numbers.negative_curvature(line(lambda x: np.cos(4 * math.pi * x), even(401)))
    assert share == pytest.approx(0.5, abs=0.015)
    assert count == 399
    along = plane(lambda x, y: np.cos(4 * math.pi * x), even(401), even(5))
    assert numbers.negative_curvature(along)[0] == pytest.approx(0.5, abs=0.015)


def test_curvature_below_the_noise_is_none() -> None:
    rng = np.random.default_rng(0)
    alpha = even(51)
    shaken = 2 + 0.1 * alpha**2 + 1e-7 * rng.uniform(-1, 1, 51)
    shaken[25] += 1e-3  # and one real dent
    assert numbers.negative_curvature(of_arrays(shaken, alpha, noise=1e-6))[0] == 1 / 49
    flat = 2 + 1e-6 * rng.uniform(-1, 1, (20, 30))
    assert numbers.negative_curvature(of_arrays(flat, even(30), even(20), noise=1e-6))[0] == 0
    assert numbers.negative_curvature(of_arrays(flat, even(30), even(20)))[0] > 0.5


def test_curvature_leaves_out_the_neighbours_of_unknown_points() -> None:
    holed = spoilt(plane(bowl(-1, -1), even(7), even(9)), (4, 3))
    assert numbers.negative_curvature(holed) == (1, 5 * 7 - 9)
    assert numbers.negative_curvature(spoilt(line(lambda x: x**2, even(9)), (0, 4), value=np.inf)) == (0, 4)
    nothing, count = numbers.negative_curvature(spoilt(line(lambda x: x**2, even(3)), (0, 0)))
    assert math.isnan(nothing)
    assert count == 0


# convexity


@grids
def test_convex_surfaces_do_not_deviate_from_convexity(alpha: Any, beta: Any) -> None:
    for function in (bowl(), bowl(2, 3, -4), lambda x, y: np.exp(x - y), lambda x, y: np.abs(x + y), lambda x, y: 4.0):
        found = numbers.convexity(plane(function, alpha, beta))
        assert found.mean == pytest.approx(0, abs=1e-14)
        assert found.largest == pytest.approx(0, abs=1e-14)


def test_the_envelope_of_two_wells_is_the_floor_between_them() -> None:
    land = line(lambda x: np.minimum((x - 1) ** 2, (x + 1) ** 2), even(401, 2))
    found = numbers.convexity(land)
    assert found.largest == pytest.approx(1, abs=1e-9)  # the barrier, 1, of a range of 1
    assert found.mean == pytest.approx(1 / 6, abs=2e-3)  # the integral of (1 - |x|)^2 over -1..1, of a length of 4
    valley = plane(lambda x, y: np.minimum((x - 1) ** 2, (x + 1) ** 2) + y**2, even(101, 2), even(21))
    assert numbers.convexity(valley).largest == pytest.approx(1 / 2, abs=1e-9)
    assert numbers.convexity(flipped(valley)).mean == pytest.approx(numbers.convexity(valley).mean)


def test_a_saddle_between_the_axes_is_found_along_diagonals() -> None:
    saddle = plane(lambda x, y: x * y, even(21), even(21))  # straight along rows and columns
    assert numbers.convexity(saddle).largest == pytest.approx(0.5)  # 1 above the line from corner to corner, of 2
    turned = plane(lambda x, y: -x * y, even(21), even(21))
    assert numbers.convexity(turned).largest == pytest.approx(0.5)


def test_the_hull_is_that_of_all_chords() -> None:
    rng = np.random.default_rng(3)
    for count in (2, 3, 10, 40):
        x, y = np.sort(rng.normal(size=count)), rng.normal(size=count)
        chords = [
            min(
                ((x[k] - x[i]) * y[j] + (x[i] - x[j]) * y[k]) / (x[k] - x[j])
                for j in range(i + 1)
                for k in range(i, count)
                if k > j
            )
            for i in range(count)
        ]
        lowest = np.minimum(chords, y)
        np.testing.assert_allclose(envelope.lower_hull(x, y), lowest, atol=1e-12)


def test_convexity_passes_over_unknown_points() -> None:
    dented = spoilt(line(lambda x: x**2, even(9)), (0, 6), value=5.0)
    assert numbers.convexity(dented).largest > 0.5
    assert numbers.convexity(spoilt(dented, (0, 6))).largest == 0


# minima


def brute_force_minima(land: Landscape) -> list[tuple[float, float]]:
    """Return birth and death of each part of the sublevel sets, by flooding the graph anew at every height."""
    rows, columns = land.values.shape
    height = {(j, i): float(land.values[j, i]) for j in range(rows) for i in range(columns) if land.known[j, i]}

    def near(place: tuple[int, int]) -> list[tuple[int, int]]:
        return [(place[0] + dj, place[1] + di) for dj in (-1, 0, 1) for di in (-1, 0, 1)]

    alive: dict[float, float] = {}
    found = []
    for level in sorted(set(height.values())):
        below, births = {place for place, value in height.items() if value <= level}, set()
        while below:
            part, lowest = [below.pop()], math.inf
            while part:
                place = part.pop()
                lowest = min(lowest, height[place])
                fresh = [other for other in near(place) if other in below]
                below.difference_update(fresh)
                part += fresh
            births.add(lowest)
        found += [(birth, level) for birth in alive if birth not in births]
        alive = dict.fromkeys(births, 0.0)
    return sorted(found + [(birth, max(height.values())) for birth in alive])


@pytest.mark.parametrize("shape", [(7, 9), (4, 3), (1, 25)])
@pytest.mark.parametrize("holes", [0, 4])
def test_minima_are_those_of_flooding(shape: tuple[int, int], holes: int) -> None:
    rng = np.random.default_rng(holes)
    for _ in range(5):
        values = rng.permutation(shape[0] * shape[1]).astype(np.float64).reshape(shape) ** 1.5
        values.flat[rng.choice(values.size, holes, replace=False)] = np.nan
        is_line = shape[0] == 1
        land = of_arrays(values[0] if is_line else values, even(shape[1]), None if is_line else even(shape[0]))
        found = sorted((one.loss, one.loss + one.persistence) for one in numbers.minima(land))
        np.testing.assert_allclose(found, brute_force_minima(land))


def test_two_wells_are_two_minima_and_the_shallower_dies_at_the_saddle() -> None:
    def two_wells(x: Any, y: Any) -> Any:
        return np.minimum((x + 0.5) ** 2, (x - 0.5) ** 2 + 0.1) + y**2

    land = plane(two_wells, even(41), even(21))
    deep, shallow = numbers.minima(land)
    assert (deep.alpha, deep.beta, deep.loss) == pytest.approx((-0.5, 0, 0))
    assert deep.persistence == pytest.approx(land.range)
    assert (shallow.alpha, shallow.beta, shallow.loss) == pytest.approx((0.5, 0, 0.1))
    assert shallow.persistence == pytest.approx(0.55**2 - 0.1, abs=0.03)  # the pass is at alpha = 0.05
    assert shallow.persistence == land.values[10, 21] - shallow.loss
    assert not deep.on_border
    assert not shallow.on_border


def test_a_bowl_has_one_minimum_and_a_slope_one_at_the_border() -> None:
    for alpha, beta in GRIDS.values():
        assert len(numbers.minima(plane(bowl(2, 3, 4), alpha, beta))) == 1
        (corner,) = numbers.minima(plane(lambda x, y: x + y, alpha, beta))
        assert (corner.alpha, corner.beta, corner.on_border) == (alpha[0], beta[0], True)
    (end,) = numbers.minima(line(lambda x: -x, even(5)))
    assert end == numbers.Minimum(alpha=1.0, beta=None, loss=-1.0, persistence=2.0, on_border=True)


def test_a_wave_has_a_minimum_in_every_trough() -> None:
    land = line(lambda x: np.cos(5 * math.pi * x), even(201))
    found = numbers.minima(land)
    assert sorted(one.alpha for one in found) == pytest.approx([-1, -0.6, -0.2, 0.2, 0.6, 1])
    assert [one.persistence for one in found] == pytest.approx([2] * 6)
    assert sum(one.on_border for one in found) == 2


def test_plateaus_count_once_and_a_constant_surface_has_one_minimum() -> None:
    basin = plane(lambda x, y: np.maximum(np.hypot(x, y), 0.5), even(21), even(21))
    assert len(numbers.minima(basin)) == 1
    flat = plane(lambda x, y: 1.0, even(4), even(5))
    assert [one.persistence for one in numbers.minima(flat)] == [0.0]
    assert len(numbers.persistent(numbers.minima(flat), flat)) == 1


def test_only_pronounced_minima_are_counted() -> None:
    land = line(lambda x: x**2 + 0.004 * np.cos(20 * math.pi * x), even(401))
    found = numbers.minima(land)
    assert len(found) > 3
    assert len(numbers.persistent(found, land)) == 1
    assert len(numbers.persistent(found, land, threshold=0.001)) > 1


def test_a_minimum_beside_an_unknown_point_is_at_the_border() -> None:
    land = spoilt(line(lambda x: x**2, even(9)), (0, 4), value=np.inf)
    assert [(one.alpha, one.on_border) for one in numbers.minima(land)] == [(-0.25, True), (0.25, True)]
    assert [one.persistence for one in numbers.minima(land)] == pytest.approx([1 - 0.0625] * 2)


# what must not matter


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_shape_does_not_depend_on_units_or_on_which_axis_is_which(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    alpha, beta = (np.sort(np.append(rng.uniform(-1, 1, count), [-1.1, 0, 1.1])) for count in (4, 6))
    values = rng.uniform(0, 1, (len(beta), len(alpha)))
    values[rng.integers(len(beta)), 0] = np.nan
    plain = of_arrays(values, alpha, beta)
    for other in (
        of_arrays(scale * values + shift, alpha, beta),
        of_arrays(values, 3 * alpha, 0.5 * beta),
        flipped(plain),
        of_arrays(values[::-1, ::-1], -alpha[::-1], -beta[::-1]),
    ):
        assert numbers.roughness(other) == pytest.approx(numbers.roughness(plain), rel=1e-6)
        assert numbers.negative_curvature(other) == numbers.negative_curvature(plain)
        assert dataclasses.astuple(numbers.convexity(other)) == pytest.approx(
            dataclasses.astuple(numbers.convexity(plain)), rel=1e-6
        )
        depths = [sorted(one.persistence / land.range for one in numbers.minima(land)) for land in (plain, other)]
        assert depths[0] == pytest.approx(depths[1], rel=1e-6, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_basin_does_not_depend_on_which_axis_is_which(seed: int) -> None:
    rng = np.random.default_rng(seed)
    alpha, beta = (np.sort(np.append(rng.uniform(-1, 1, count), [-1.1, 0, 1.1])) for count in (4, 6))
    land = plane(lambda x, y: 1 + x**2 + y**2 + 0.3 * rng.uniform(size=x.shape), alpha, beta)
    turned, level = flipped(land), Level(rise=0.5)
    assert numbers.sharpness(turned, 0.7).value == pytest.approx(numbers.sharpness(land, 0.7).value)
    areas, widths = zip(*((numbers.area(one, level), numbers.width(one, level)) for one in (land, turned)), strict=True)
    assert areas[0] is not None
    assert areas[1] is not None
    assert areas[1].value == pytest.approx(areas[0].value)
    assert areas[1].is_lower is areas[0].is_lower
    assert widths[0] is not None
    assert widths[1] is not None
    assert [one.value for one in widths[1]] == pytest.approx([one.value for one in widths[0]][::-1])
    assert areas[0].value <= np.ptp(alpha) * np.ptp(beta) + 1e-12


# points without a value


def test_pending_infinite_and_clipped_points_are_left_out_and_counted() -> None:
    values = plane(bowl(), even(7), even(5)).values.copy()
    status = np.ones(values.shape, dtype=np.uint8)
    values[0, 0], values[0, 1], values[4, 6], status[4, 6] = np.inf, np.nan, np.nan, PENDING
    surface = a_surface({"train_loss": values}, alpha=even(7), beta=even(5), status=status)
    assert numbers.of_surface(surface, "train_loss").left_out == 3
    clipped = numbers.of_surface(surface, "train_loss", vmax=4.0)
    assert clipped.left_out == 3 + int(np.count_nonzero(values[np.isfinite(values)] > 4.0))
    assert clipped.left_out > 3
    assert clipped.range <= 3.0
