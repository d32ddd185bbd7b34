import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossgrid.errors import InputError
from lossgrid.surface import Axis, Grid


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-1:1:3", [-1.0, 0.0, 1.0]),
        ("0:1:5", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("0.5:0.5:1", [0.5]),
        ("-2e-1:1e-1:4", [-0.2, -0.1, 0.0, 0.1]),
    ],
)
def test_axis_reads_minimum_maximum_count(text: str, expected: list[float]) -> None:
    np.testing.assert_allclose(Axis.parse(text).values(), expected, atol=1e-16)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1:2", "a:b:c", "0:1:2:3", "0:1:2.5", "1:0:5", "0:0:3", "0:1:1", "0:1:0", "0:1:-3", "nan:1:3", "0:inf:3"],
)
def test_axis_refuses(text: str) -> None:
    with pytest.raises(InputError):
        Axis.parse(text)


@given(st.floats(1e-3, 1e3), st.integers(1, 500))
def test_symmetric_axis_hits_its_bounds_and_zero(bound: float, half: int) -> None:
    values = Axis(-bound, bound, 2 * half + 1).values()
    assert values[0] == -bound
    assert values[-1] == bound
    assert values[half] == 0.0
    np.testing.assert_array_equal(values, -values[::-1])
    assert (np.diff(values) > 0).all()


def test_axis_survives_its_text() -> None:
    axis = Axis(-0.1, 0.30000000000000004, 7)
    assert Axis.parse(str(axis)) == axis


def test_grid_is_beta_by_alpha() -> None:
    plane = Grid(Axis(-1, 1, 5), Axis(0, 1, 2))
    assert (plane.shape, plane.rows, len(plane)) == ((2, 5), (2, 5), 10)
    line = Grid(Axis(-1, 1, 5))
    assert (line.shape, line.rows, len(line)) == ((5,), (1, 5), 5)
