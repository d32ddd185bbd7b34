"""Options with values no run can have: each is one line that names the option."""

import math

import pytest

from lossgrid.config import RunConfig, resolve
from lossgrid.errors import InputError


@pytest.mark.parametrize("value", [0.0, 0.05, 3])
def test_the_greatest_rounding_is_zero_or_more_and_may_change_on_resume(value: float) -> None:
    config = resolve(RunConfig, {"model": "mlp", "max_rounding": value})
    assert config.max_rounding == value
    assert config.identity() == resolve(RunConfig, {"model": "mlp"}).identity()


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "much"])
def test_a_greatest_rounding_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="--max-rounding"):
        resolve(RunConfig, {"model": "mlp", "max_rounding": value})
