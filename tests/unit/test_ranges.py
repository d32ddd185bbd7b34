"""Ranges at the ends of float64: right coordinates, or refused."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossgrid.errors import InputError
from lossgrid.surface import Axis

BIG = np.finfo(np.float64).max


@settings(deadline=None, max_examples=200)
@given(st.floats(-BIG, BIG), st.floats(-BIG, BIG), st.integers(2, 200))
def test_coordinates_are_those_of_exact_arithmetic_or_refused(one: float, other: float, count: int) -> None:
    low, high = sorted((one, other))
    try:
        values = Axis(low, high, count).values()
    except InputError:
        return
    assert (values[0], values[-1]) == (low, high)
    assert (np.diff(values / 4) > 0).all()
    tolerance = 4 * Fraction(math.ulp(max(abs(low), abs(high))))
    for i, value in enumerate(values):
        exact = Fraction(low) + (Fraction(high) - Fraction(low)) * i / (count - 1)
        assert abs(Fraction(float(value)) - exact) <= tolerance


@pytest.mark.parametrize("text", ["-1e308:1e308:51", "-1.7e308:1.7e308:3", "0:1e308:1001", "-1e-300:1e-300:11"])
def test_ranges_far_out_have_finite_coordinates_that_rise(text: str) -> None:
    values = Axis.parse(text).values()
    assert np.isfinite(values).all()
    assert (np.diff(values / 4) > 0).all()
    if text.startswith("-"):
        assert values[len(values) // 2] == 0.0
        np.testing.assert_array_equal(values, -values[::-1])


@pytest.mark.parametrize(
    "text",
    [
        "1:1.0000000000000002:3", "1:1.0000000000000009:5", "1e16:1.0000000000000004e16:9", "-1:1:99999999999999999",
        "-1:1:" + "9" * 400, "1e308:1.0000000000000003e308:7", "-5e-324:5e-324:3", "0:1e-320:100000",
    ],
)  # fmt: skip
def test_coordinates_that_round_to_the_same_value_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="a range needs coordinates that float64 can tell apart"):
        Axis.parse(text)
