"""Refinement: sweeps, audits and the plan that they make, on known surfaces."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lossgrid.sampling import Picture, Refine, Tolerance
from lossgrid.sampling.asked import Asked
from lossgrid.sampling.audit import MOST_WRONG, confidence_of, judge, most_wrong, order_of, size_of, widening
from lossgrid.sampling.ruler import Ruler
from lossgrid.sampling.sweep import Places, sweep
from lossgrid.surface import Axis, Grid, Results, Work
from lossgrid.surface.quantity import accuracy, loss

Array = npt.NDArray[np.float64]
Function = Callable[[Array, Array], Array]

LOSS = loss("train")


def bowl(x: Array, y: Array) -> Array:
    return 0.1 + x**2 + 2 * y**2


def waves(x: Array, y: Array) -> Array:
    return np.exp(np.log(1 + x**2 + y**2) + 0.3 * np.sin(6 * x) * np.cos(5 * y))


def cliff(x: Array, y: Array) -> Array:
    return 0.1 + np.exp(5 * np.tanh(8 * (x + y - 0.5)))


def half(x: Array, y: Array) -> Array:
    return np.where(x < -0.3, np.nan, bowl(x, y))


def noise(x: Array, y: Array) -> Array:
    return np.random.default_rng(0).uniform(1, 2, size=(x * y).shape)


def grid_of(rows: int, columns: int) -> Grid:
    return Grid(Axis(-1, 1, columns) if columns > 1 else Axis(0, 0, 1), Axis(-1, 1, rows) if rows > 1 else None)


def truth_of(function: Function, grid: Grid) -> Array:
    """Return the values of a function on a grid, ``(1, n_beta, n_alpha)``."""
    beta = np.zeros(1) if grid.beta is None else grid.beta.values()
    return function(grid.alpha.values()[np.newaxis], beta[:, np.newaxis])[np.newaxis]


def plan_of(grid: Grid, share: float = 0.01, quantities: Any = (LOSS,), **known: Any) -> Refine:
    return Refine(grid, quantities, Tolerance(share), digest="a run", **known)


def computed_by(
    plan: Refine, truth: Array, *, seed: int | None = None, most: float = math.inf
) -> npt.NDArray[np.bool_]:
    """Compute the points of a plan, in order, or as ranks of any speed with a seed; return which were computed."""
    random = np.random.default_rng(seed)
    under_way: list[Work] = []
    done = np.zeros(truth.shape[1:], dtype=bool)
    while not plan.is_over and np.count_nonzero(done) < most:
        size = 4 if seed is None else int(random.integers(1, 20))
        work = plan.ask(size)
        if work is not None:
            under_way.append(work)
            if seed is not None and random.random() < 0.7:
                continue
        work = under_way.pop(0 if seed is None else int(random.integers(len(under_way))))
        columns = slice(work.start, work.stop, work.step)
        values = truth[:, work.row, columns].T
        assert not done[work.row, columns].any()
        done[work.row, columns] = True
        plan.tell(Results(work, values, np.zeros_like(values), np.ones(len(work))))
    return done


def errors_of(picture: Picture, truth: Array, share: float = 0.01) -> Array:
    """Return the errors of a picture in tolerances of the true range."""
    return Ruler.of(LOSS, truth, Tolerance(share)).distance(picture.values, truth)[0]


def assert_same(one: Picture | None, other: Picture | None) -> None:
    assert one is not None
    assert other is not None
    for name in ("values", "bars", "level"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.refinement == other.refinement


# sweeps


def places_of(grid: Grid) -> Places:
    beta = np.zeros(1) if grid.beta is None else grid.beta.values()
    return Places.of(grid.alpha.values(), beta, grid.centre)


def asked_of(truth: Array, known: npt.NDArray[np.bool_]) -> Asked:
    return Asked.of(truth.shape, np.where(known, truth, np.nan), known)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 401), (2, 2), (3, 51), (25, 25), (26, 51), (51, 7), (51, 51)])
def test_the_first_lattice_has_the_corners_and_theta(shape: tuple[int, int]) -> None:
    grid = grid_of(*shape)
    first = places_of(grid).first()
    assert first.shape == shape
    assert first[[0, 0, -1, -1], [0, -1, 0, -1]].all()
    assert first.sum() <= 25
    if grid.centre is not None:
        assert first[grid.centre]


def test_a_minimum_sharper_than_the_first_lattice_is_refined() -> None:
    grid = grid_of(101, 101)
    truth = truth_of(lambda x, y: 1 + x**2 + y**2 - 0.99 * np.exp(-(x**2 + y**2) / 0.05**2), grid)
    plan = plan_of(grid)
    done = computed_by(plan, truth)
    assert done[46:55, 46:55].mean() > 0.3
    assert done.mean() < 0.1
    picture = plan.picture()
    assert picture is not None
    assert np.mean(errors_of(picture, truth)[46:55, 46:55] > 1) < 0.1


def test_points_of_a_round_keep_apart_the_most_urgent_first() -> None:
    random = np.random.default_rng(0)
    places = Places.of(np.cumsum(random.uniform(1, 2, 23)), np.linspace(0, 3, 17), None)
    urgency = np.where(random.random(places.shape) < 0.7, random.integers(0, 9, places.shape), 0.0)
    reach = random.uniform(0, 0.2, places.shape)
    expected: list[tuple[int, int]] = []
    order = sorted(np.ndindex(*places.shape), key=lambda at: (-urgency[at], at))
    for row, column in order:
        near = [
            max(abs(places.beta[row] - places.beta[i]), abs(places.alpha[column] - places.alpha[j])) <= reach[i, j]
            for i, j in expected
        ]
        if urgency[row, column] > 0 and not any(near):
            expected.append((row, column))
    found = places.apart(urgency, reach)
    assert sorted(expected) == [tuple(at) for at in np.argwhere(found).tolist()]
    assert 0 < found.sum() < np.count_nonzero(urgency)


def test_a_plane_needs_the_first_lattice_alone() -> None:
    grid = grid_of(51, 51)
    truth = truth_of(lambda x, y: 3 + 0.5 * x - y, grid)
    first = places_of(grid).first()
    nothing = np.zeros_like(first)
    found = sweep(places_of(grid), [accuracy("train")], asked_of(truth, first), Tolerance(0.01), given=nothing, limit=1)
    np.testing.assert_array_equal(found.wanted, first)
    np.testing.assert_allclose(found.values, truth, rtol=1e-7)
    assert (found.spread < 1e-4).all()


def test_a_sweep_depends_on_nothing_but_the_points_it_wants() -> None:
    grid = grid_of(26, 51)
    truth = truth_of(cliff, grid)
    everything, nothing = np.ones(grid.rows, dtype=bool), np.zeros(grid.rows, dtype=bool)
    settings: Any = {"given": nothing, "limit": 0.7}
    found = sweep(places_of(grid), [LOSS], asked_of(truth, everything), Tolerance(0.01), **settings)
    wanted = np.where(found.wanted, truth, 12345.0)
    again = sweep(places_of(grid), [LOSS], asked_of(wanted, everything), Tolerance(0.01), **settings)
    np.testing.assert_array_equal(found.level, again.level)
    np.testing.assert_array_equal(found.values, again.values)


def test_rounds_come_one_after_the_other() -> None:
    grid = grid_of(51, 51)
    truth = truth_of(waves, grid)
    asked = Asked.of(truth.shape, None, None)
    sizes = []
    while True:
        found = sweep(places_of(grid), [LOSS], asked, Tolerance(0.01), given=np.zeros(grid.rows, bool), limit=0.7)
        asked.level[...] = found.level
        if not found.missing.any():
            break
        assert set(np.unique(found.level[found.missing])) == {len(sizes)}
        assert np.isnan(found.values).all()
        sizes.append(np.count_nonzero(found.missing))
        asked.known[found.missing] = True
        asked.values[:, found.missing] = truth[:, found.missing]
    assert len(sizes) > 2
    assert sum(sizes) == np.count_nonzero(found.wanted)


@pytest.mark.parametrize("function", [bowl, waves, cliff])
@pytest.mark.parametrize("limit", [0.3, 1.0])
def test_errors_are_as_large_as_expected(function: Function, limit: float) -> None:
    """95 of 100 normal errors are within the spread; these errors are not normal, so 88 must be."""
    grid = grid_of(51, 51)
    truth = truth_of(function, grid)
    everything, nothing = np.ones(grid.rows, dtype=bool), np.zeros(grid.rows, dtype=bool)
    found = sweep(places_of(grid), [LOSS], asked_of(truth, everything), Tolerance(0.01), given=nothing, limit=limit)
    off = found.rulers[0].distance(found.values[0], truth[0])[~found.wanted]
    assert np.mean(off <= found.spread[0][~found.wanted]) > 0.88
    assert np.mean(off > 1) < 0.02


# plans


@pytest.mark.parametrize(
    ("function", "shape", "work"),
    [
        (bowl, (251, 251), 0.02), (waves, (251, 251), 0.03), (cliff, (251, 251), 0.05), (bowl, (101, 101), 0.06),
        (bowl, (51, 51), 0.15), (bowl, (1, 401), 0.3), (bowl, (7, 301), 0.25),
    ],
)  # fmt: skip
def test_a_smooth_surface_needs_few_points(function: Function, shape: tuple[int, int], work: float) -> None:
    grid = grid_of(*shape)
    truth = truth_of(function, grid)
    plan = plan_of(grid)
    done = computed_by(plan, truth)
    picture = plan.picture()
    assert picture is not None
    assert done.mean() <= work
    errors = errors_of(picture, truth)
    assert np.mean(errors[~done] > 1) <= MOST_WRONG
    assert picture.refinement.most_wrong["train_loss"] <= MOST_WRONG * np.count_nonzero(~done)
    np.testing.assert_array_equal(picture.values[:, done], truth[:, done])
    within = np.abs(picture.values[0] - truth[0])[~done] <= picture.bars[0][~done]
    assert within.mean() > 0.85


@pytest.mark.parametrize("function", [bowl, cliff, half, noise])
@pytest.mark.parametrize("shape", [(25, 26), (1, 101)])
def test_the_same_surface_comes_of_any_order(function: Function, shape: tuple[int, int]) -> None:
    grid = grid_of(*shape)
    truth = truth_of(function, grid)
    plan = plan_of(grid)
    done = computed_by(plan, truth)
    for seed in range(5):
        other = plan_of(grid)
        np.testing.assert_array_equal(computed_by(other, truth, seed=seed), done)
        assert_same(plan.picture(), other.picture())


@pytest.mark.parametrize("function", [bowl, cliff, half])
def test_a_run_that_is_interrupted_again_and_again_asks_for_the_same_points(function: Function) -> None:
    grid = grid_of(33, 40)
    truth = truth_of(function, grid)
    undisturbed = plan_of(grid)
    done = computed_by(undisturbed, truth)
    known = np.zeros(grid.rows, dtype=bool)
    for seed in range(10):
        plan = plan_of(grid, values=np.where(known, truth, np.nan), known=known)
        known |= computed_by(plan, truth, seed=seed, most=np.count_nonzero(done) / 8)
    plan = plan_of(grid, values=np.where(known, truth, np.nan), known=known)
    known |= computed_by(plan, truth)
    np.testing.assert_array_equal(known, done)
    assert_same(plan.picture(), undisturbed.picture())


def test_every_moment_has_a_picture_from_the_first_lattice_on() -> None:
    grid = grid_of(51, 51)
    truth = truth_of(waves, grid)
    errors = []
    for most in (10, 60, 200, 400):
        plan = plan_of(grid)
        computed_by(plan, truth, most=most)
        picture = plan.picture()
        if picture is None:
            assert most == 10
            continue
        assert np.isfinite(picture.values).all()
        errors.append(np.abs(picture.values - truth).mean())
    assert len(errors) == 3
    assert errors == sorted(errors, reverse=True)


def test_what_cannot_be_interpolated_is_computed() -> None:
    grid = grid_of(25, 25)
    truth = truth_of(noise, grid)
    plan = plan_of(grid)
    done = computed_by(plan, truth)
    picture = plan.picture()
    assert done.all()
    assert picture is not None
    np.testing.assert_array_equal(picture.values, truth)
    assert not picture.refinement.most_wrong


def test_points_that_are_not_finite_are_never_interpolated_over() -> None:
    grid = grid_of(51, 51)
    truth = truth_of(half, grid)
    plan = plan_of(grid)
    done = computed_by(plan, truth)
    picture = plan.picture()
    assert picture is not None
    np.testing.assert_array_equal(np.isnan(picture.values), np.isnan(truth))
    assert done[np.isnan(truth[0])].all()


def test_a_smaller_tolerance_goes_on_from_what_is_there() -> None:
    grid = grid_of(51, 51)
    truth = truth_of(waves, grid)
    coarse = computed_by(plan_of(grid, 0.02), truth)
    fine = plan_of(grid, 0.002, values=np.where(coarse, truth, np.nan), known=coarse)
    more = computed_by(fine, truth)
    assert more.any()
    assert not (more & coarse).any()
    picture = fine.picture()
    assert picture is not None
    assert np.mean(errors_of(picture, truth, 0.002) > 1) <= MOST_WRONG


def test_fractions_do_not_steer_and_are_audited() -> None:
    grid = grid_of(51, 51)
    smooth, rough = truth_of(bowl, grid), truth_of(noise, grid)
    plan = plan_of(grid, quantities=(accuracy("train"), LOSS))
    done = computed_by(plan, np.concatenate([rough, smooth]))
    alone = plan_of(grid)
    np.testing.assert_array_equal(computed_by(alone, smooth), done)
    picture = plan.picture()
    assert picture is not None
    told = picture.refinement.most_wrong
    assert told["train_loss"] < told["train_accuracy"]


@pytest.mark.parametrize("values", [np.ones, np.zeros])
def test_a_flat_surface_is_no_trouble(values: Any) -> None:
    grid = grid_of(51, 51)
    truth = values((1, 51, 51))
    plan = plan_of(grid)
    computed_by(plan, truth)
    picture = plan.picture()
    assert picture is not None
    np.testing.assert_allclose(picture.values, truth, rtol=1e-12)


# audits


@pytest.mark.parametrize(
    ("wrong", "audited", "points"), [(0, 10, 40), (1, 10, 40), (3, 12, 30), (0, 40, 40), (2, 2, 9)]
)
def test_the_bound_is_the_largest_number_that_is_not_unlikely(wrong: int, audited: int, points: int) -> None:
    def probability(all_wrong: int) -> float:
        ways = [
            math.comb(all_wrong, k) * math.comb(points - all_wrong, audited - k)
            for k in range(wrong + 1)
            if audited - k >= 0
        ]
        return sum(ways) / math.comb(points, audited)

    possible = range(wrong, points - (audited - wrong) + 1)
    expected = max(number for number in possible if probability(number) > 0.05 or number == wrong)
    assert most_wrong(wrong, audited, points, 0.95) == expected


def test_the_bound_holds_in_95_of_100_runs() -> None:
    random = np.random.default_rng(1)
    points, runs = 2000, 1000
    held = 0
    for _ in range(runs):
        wrong = int(random.integers(0, 200))
        found = int(random.hypergeometric(wrong, points - wrong, 120))
        held += most_wrong(found, 120, points, 0.95) >= wrong
    assert held / runs >= 0.95 - 0.014  # two standard errors of 1,000 runs


def test_bars_hold_the_share_they_say() -> None:
    random = np.random.default_rng(2)
    held = []
    for _ in range(1000):
        spread = random.uniform(0.1, 1, 200)
        errors = spread * np.abs(random.standard_t(2, 200))
        factor = widening(errors[:60], spread[:60], 0.95)
        held.append(np.mean(errors[60:] <= factor * spread[60:]))
    assert np.mean(held) >= 0.95 - 0.005


def test_all_audits_of_a_run_spend_five_per_cent_of_doubt() -> None:
    assert sum(1 - confidence_of(audit) for audit in range(60)) == pytest.approx(0.05)


@pytest.mark.parametrize("points", [30, 100, 625, 2601, 63001])
def test_an_audit_that_finds_nothing_passes(points: int) -> None:
    size = size_of(points, confidence_of(0))
    assert size <= points
    errors = np.zeros((1, size))
    assert judge(errors, errors, points, confidence_of(0), steers=np.ones(1, dtype=bool)).passes
    errors[:, : size // 5 + 1] = 2.0
    assert size == points or not judge(errors, errors, points, confidence_of(0), steers=np.ones(1, dtype=bool)).passes


def test_a_planted_spike_is_counted_at_the_stated_rate() -> None:
    """Spikes at 10 % of the points, none of them wanted: the audit fails, and the plan goes on to find them."""
    grid = grid_of(35, 35)
    truth = truth_of(bowl, grid)
    free = np.flatnonzero(~computed_by(plan_of(grid), truth).ravel())
    found = 0
    for run in range(40):
        spiky = truth.copy()
        where = np.random.default_rng(run).choice(free, size=len(free) // 10, replace=False)
        spiky.reshape(-1)[where] *= 5
        plan = Refine(grid, [LOSS], Tolerance(0.01), digest=f"run {run}")
        computed_by(plan, spiky)
        picture = plan.picture()
        assert picture is not None
        wrong = np.count_nonzero(Ruler.of(LOSS, spiky, Tolerance(0.01)).distance(picture.values, spiky)[0] > 1)
        found += wrong <= picture.refinement.most_wrong.get("train_loss", 0)
    assert found >= 38  # 95 %


def test_the_order_of_an_audit_belongs_to_the_run() -> None:
    one, same, other = (order_of(digest, 100) for digest in ("a", "a", "b"))
    assert sorted(one) == list(range(100))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
