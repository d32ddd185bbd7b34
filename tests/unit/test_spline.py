"""Splines of scattered points against one large system of equations, and on surfaces that they reproduce."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lossgrid.sampling.spline import NEAREST, _nearest, smooth

Array = npt.NDArray[np.float64]


def reference(alpha: Array, beta: Array, values: Array, known: npt.NDArray[np.bool_]) -> Array:
    """Return the spline of all known points at all points: r^3 and a plane, in ranges of the axes, one system."""
    x = (alpha - alpha[0]) / (alpha[-1] - alpha[0])
    y = (beta - beta[0]) / (beta[-1] - beta[0])
    everywhere = np.array([(x[j], y[i]) for i in range(len(y)) for j in range(len(x))])
    nodes = everywhere[known.ravel()]
    n = len(nodes)
    system = np.zeros((n + 3, n + 3))
    for i in range(n):
        for j in range(n):
            system[i, j] = np.hypot(*(nodes[i] - nodes[j])) ** 3
        system[i, n:] = system[n:, i] = 1, *nodes[i]
    found = []
    for one in values:
        weights = np.linalg.solve(system, np.append(one[known], [0.0, 0.0, 0.0]))
        row = [weights[n] + weights[n + 1 :] @ p + sum(weights[i] * np.hypot(*(p - nodes[i])) ** 3 for i in range(n))
               for p in everywhere]  # fmt: skip
        found.append(np.reshape(row, known.shape))
    return np.stack(found)


def scattered(shape: tuple[int, int], count: int, seed: int = 0) -> npt.NDArray[np.bool_]:
    known = np.zeros(shape, dtype=bool)
    known.ravel()[np.random.default_rng(seed).permutation(known.size)[:count]] = True
    return known


@pytest.mark.parametrize("alpha", [np.linspace(-1, 1, 13), np.cumsum(np.random.default_rng(3).uniform(1, 2, 13))])
def test_so_few_points_make_the_spline_of_all(alpha: Array) -> None:
    beta = np.linspace(-0.1, 0.3, 11)
    known = scattered((11, 13), NEAREST)
    values = np.random.default_rng(1).normal(size=(2, 11, 13))
    found = smooth(alpha, beta, np.where(known, values, np.nan), known, ~known)
    expected = reference(alpha, beta, values, known)
    np.testing.assert_allclose(found[:, ~known], expected[:, ~known], rtol=1e-7, atol=1e-8)
    np.testing.assert_array_equal(found[:, known], values[:, known])


@pytest.mark.parametrize("lattice", [True, False], ids=["lattice", "scattered"])
@pytest.mark.parametrize("spread", [0.0, 0.02, 0.6])
def test_the_nearest_are_those_of_all_distances_and_of_equal_ones_the_first(lattice: bool, spread: float) -> None:
    """On a lattice with steps of 1/64, which are exact, many places are equally far."""
    random = np.random.default_rng(5)
    nodes = np.argwhere(np.ones((17, 17))) / 16 if lattice else random.uniform(size=(300, 2))
    at = 0.3 + spread * np.round(random.uniform(size=(25, 2)) * 64) / 64
    found = _nearest(nodes.T, at.T)
    for point, own in zip(at, found, strict=True):
        squares = [(node[0] - point[0]) ** 2 + (node[1] - point[1]) ** 2 for node in nodes]
        assert own.tolist() == sorted(sorted(range(len(nodes)), key=squares.__getitem__)[:NEAREST])


def test_a_point_has_the_same_bits_whichever_others_are_wanted() -> None:
    alpha, beta = np.linspace(-1, 1, 40), np.linspace(-1, 1, 30)
    known = scattered((30, 40), 150)
    values = np.random.default_rng(2).normal(size=(2, 30, 40))
    whole = smooth(alpha, beta, values, known, ~known)
    for count in (1, 7, 200):
        some = scattered((30, 40), count, seed=count) & ~known
        np.testing.assert_array_equal(smooth(alpha, beta, values, known, some)[:, some], whole[:, some])
    np.testing.assert_array_equal(smooth(alpha, beta, values, known, np.zeros_like(known)), values)


def test_a_plane_is_reproduced_from_any_points() -> None:
    alpha, beta = np.linspace(-1, 1, 31), np.linspace(0, 5, 27)
    values = (3 - 2 * alpha + 0.5 * beta[:, np.newaxis])[np.newaxis]
    known = scattered((27, 31), 200)
    np.testing.assert_allclose(smooth(alpha, beta, values, known, ~known), values, rtol=1e-7)


def test_points_far_away_change_nothing() -> None:
    alpha = beta = np.linspace(-1, 1, 40)
    values = np.random.default_rng(0).normal(size=(1, 40, 40))
    known = scattered((40, 40), 400)
    found = smooth(alpha, beta, values, known, ~known)
    other = np.array(values)
    other[:, 30:, 30:] += 100
    np.testing.assert_array_equal(smooth(alpha, beta, other, known, ~known)[:, :10, :10], found[:, :10, :10])
    assert known.sum() > NEAREST


@pytest.mark.parametrize("rows", [1, 20])
def test_points_on_one_line_and_lines_have_a_spline(rows: int) -> None:
    alpha, beta = np.linspace(-1, 1, 61), np.linspace(-1, 1, rows) if rows > 1 else np.zeros(1)
    values = np.broadcast_to(np.sin(3 * alpha), (1, rows, 61)).copy()
    known = np.zeros((rows, 61), dtype=bool)
    known[rows // 2, ::2] = True
    found = smooth(alpha, beta, values, known, ~known)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, rows // 2], values[:, rows // 2], atol=1e-3)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_points_than_a_plane_needs_tell_nothing(count: int) -> None:
    known = scattered((5, 5), count)
    found = smooth(np.linspace(0, 1, 5), np.linspace(0, 1, 5), np.ones((1, 5, 5)), known, ~known)
    assert np.isnan(found[:, ~known]).all()


def test_values_that_are_not_finite_are_not_used() -> None:
    alpha = beta = np.linspace(-1, 1, 15)
    values = (alpha + beta[:, np.newaxis])[np.newaxis].copy()
    known = scattered((15, 15), 60)
    bad = np.argwhere(known)[::7]
    values[:, bad[:, 0], bad[:, 1]] = np.nan
    found = smooth(alpha, beta, values, known, ~known)
    expected = np.broadcast_to(alpha + beta[:, np.newaxis], found.shape)
    np.testing.assert_allclose(found[:, ~known], expected[:, ~known], atol=1e-7)
