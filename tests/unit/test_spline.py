"""Splines of scattered points and their errors, against one large system of equations, and on what they reproduce."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lossgrid.sampling.spline import LEAST, NEAREST, Nodes

Array = npt.NDArray[np.float64]


def reference(places: Array, values: Array, at: Array) -> tuple[Array, float]:
    """Return the spline of all nodes at a point, r^3 and a plane, and the power function; one system each."""
    n = len(places)
    system = np.zeros((n + 3, n + 3))
    for i in range(n):
        for j in range(n):
            system[i, j] = np.hypot(*(places[i] - places[j])) ** 3
        system[i, n:] = system[n:, i] = 1, *places[i]
    coefficients = [np.linalg.solve(system, np.append(one, [0.0, 0.0, 0.0])) for one in values]
    row = np.array([*(np.hypot(*(at - place)) ** 3 for place in places), 1, *at])
    weights = np.linalg.solve(system, row)[:n]
    # The variance of the error of a random function: of its value less the weighted sum of the nodes' values.
    square = weights @ system[:n, :n] @ weights - 2 * weights @ row[:n]
    return np.array([one @ row for one in coefficients]), float(np.sqrt(square))


def scattered(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((count, 2))


def test_so_few_nodes_make_the_spline_of_all() -> None:
    places, at = scattered(NEAREST), scattered(40, 1)
    values = np.random.default_rng(1).normal(size=(2, NEAREST))
    found = Nodes.of(places, values).predict(at)
    expected = [reference(places, values, one) for one in at]
    np.testing.assert_allclose(found.values.T, [value for value, _ in expected], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.power, [power for _, power in expected], rtol=1e-5)
    distances = np.hypot(*(at[:, np.newaxis] - places).transpose(2, 0, 1))
    np.testing.assert_allclose(found.distance, distances.min(axis=1))
    np.testing.assert_array_equal(found.near[:, 0], distances.argmin(axis=1))


def test_each_node_is_predicted_from_the_others() -> None:
    places = scattered(NEAREST + 1)
    values = np.random.default_rng(2).normal(size=(1, NEAREST + 1))
    found = Nodes.of(places, values).left_out()
    for node in range(len(places)):
        others = np.delete(np.arange(len(places)), node)
        value, power = reference(places[others], values[:, others], places[node])
        np.testing.assert_allclose(found.values[:, node], value, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(found.power[node], power, rtol=1e-5)
        assert node not in found.near[node]


def test_a_plane_is_reproduced_from_any_nodes() -> None:
    places, at = scattered(200), scattered(100, 1)
    found = Nodes.of(places, (3 - 2 * places[:, 0] + 0.5 * places[:, 1])[np.newaxis]).predict(at)
    np.testing.assert_allclose(found.values[0], 3 - 2 * at[:, 0] + 0.5 * at[:, 1], rtol=1e-7)


def test_equal_values_are_predicted_to_the_bit() -> None:
    found = Nodes.of(scattered(200), np.full((1, 200), 0.1)).predict(scattered(100, 1))
    assert (found.values == 0.1).all()


def test_nodes_far_away_change_nothing() -> None:
    places = scattered(400)
    values = np.random.default_rng(0).normal(size=(1, 400))
    at = scattered(50, 1) * 0.3
    found = Nodes.of(places, values).predict(at)
    other = np.where(places.min(axis=1) > 0.7, values + 100, values)
    np.testing.assert_array_equal(Nodes.of(places, other).predict(at).values, found.values)
    assert (other != values).any()


@pytest.mark.parametrize("across", [0.0, 0.5])
def test_nodes_on_one_line_have_a_spline(across: float) -> None:
    x = np.linspace(0, 1, 31)
    nodes = Nodes.of(np.stack([np.full(31, across), x], axis=1), np.sin(3 * x)[np.newaxis])
    at = np.linspace(0, 1, 61)
    found = nodes.predict(np.stack([np.full(61, across), at], axis=1))
    np.testing.assert_allclose(found.values[0], np.sin(3 * at), atol=1e-3)


@pytest.mark.parametrize("count", [LEAST, NEAREST // 2, 3 * NEAREST])
def test_the_power_of_a_spline_grows_with_the_distance_to_its_nodes(count: int) -> None:
    nodes = Nodes.of(scattered(count), np.zeros((1, count)))
    near = nodes.predict(nodes.places + 1e-3)
    far = nodes.predict(nodes.places + 1e-2)
    assert (near.power < far.power).all()
    assert near.power.max() < 1e-2


def test_very_close_nodes_are_no_trouble() -> None:
    """A line of 100,001 points has neighbours beside theta* at 1e-5 of its length: all there is lost to round-off."""
    x = np.array([0, 0.25, 0.49999, 0.5, 0.50001, 0.75, 1.0])
    nodes = Nodes.of(np.stack([np.zeros(7), x], axis=1), (x**2)[np.newaxis])
    assert np.isfinite(nodes.left_out().power).all()
    assert (nodes.left_out().power > 0).all()
