"""With a tolerance, a lower precision is chosen where it is faster and its rounding fits; the file keeps it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lossgrid
from lossgrid import store
from lossgrid.errors import InputError
from lossgrid.evaluation import Evaluator, arithmetic
from lossgrid.run import lower, recipe
from lossgrid.sampling.budget import ROUNDING, without_rounding
from lossgrid.sampling.ruler import Tolerance
from lossgrid.surface.summary import as_lines, summarise
from tests.builders import a_batch

SPEED = {"float32": 1.0, "bfloat16": 0.5}  # s per sample


@pytest.fixture(autouse=True)
def always_tried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Try a lower precision in short runs too, on a machine where bfloat16 is twice as fast."""
    monkeypatch.setattr(recipe, "TUNED_FROM", 0.0)
    monkeypatch.setattr(recipe, "best_batch_size", lambda evaluator, **_: evaluator.batch_size)
    monkeypatch.setattr(lower, "seconds_in_turns", seconds)
    with arithmetic.restored():
        yield


def seconds(evaluator: Evaluator, networks: Any) -> list[float]:
    return [SPEED[evaluator.device.precision]] * len(networks)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4))


def surface(out: Path, **settings: Any) -> lossgrid.Surface:
    given = {"alpha": (-1, 1, 33), "beta": (-1, 1, 33), "tolerance": 0.2, "variant": "plain", **settings}
    return lossgrid.evaluate(net(), a_batch(60, 6, classes=4, seed=2), out=out, progress=False, **given)


def precision_in(path: Path) -> Any:
    return store.read(path).origin.setting("precision")


def test_a_lower_precision_is_chosen_and_the_file_says_how_the_tolerance_was_spent(tmp_path: Path) -> None:
    out = tmp_path / "s.h5"
    found = surface(out)
    assert precision_in(out) == "bfloat16"
    told = store.read(out)
    assert told.refinement is not None
    assert told.refinement.tolerance == 0.2
    assert told.rounding is not None
    assert 0 < told.rounding["spent"]["train_loss"] <= ROUNDING
    [line] = [line for line in as_lines(summarise(told)) if line.startswith("of the tolerance")]
    assert "25 % are kept for rounding to bfloat16, which takes" in line
    assert "75 % are for interpolation, which the audit judges" in line
    by_hand = surface(tmp_path / "hand.h5", precision="bfloat16")
    np.testing.assert_array_equal(found["train_loss"], by_hand["train_loss"])


def test_spent_is_the_distance_from_a_surface_in_float32(tmp_path: Path) -> None:
    surface(tmp_path / "low.h5")
    low, exact = store.read(tmp_path / "low.h5"), surface(tmp_path / "exact.h5", tolerance=None)["train_loss"]
    assert low.rounding is not None
    at = tuple(np.array(low.rounding["points"]).T)
    assert low.computed[at].all()
    one, other = low["train_loss"][at], exact[at]
    assert other.max() < 10 * other.min()  # so colours are linear
    slow = np.abs(one - other).max() / (0.2 * (other.max() - other.min()))
    assert low.rounding["spent"]["train_loss"] == pytest.approx(slow, rel=1e-3)


def test_rounding_that_is_too_large_keeps_float32_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="lossgrid")
    surface(tmp_path / "s.h5", tolerance=1e-4)
    assert precision_in(tmp_path / "s.h5") == "float32"
    assert "float32, as rounding to bfloat16 takes" in caplog.text


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"max_rounding": 1e-9}, "differs from it by more than --max-rounding 1e-09"),
        ({"precision": "float32"}, None),
        ({"tolerance": None}, None),
    ],
)
def test_float32_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], why: str | None
) -> None:
    caplog.set_level("INFO", logger="lossgrid")
    surface(tmp_path / "s.h5", **settings)
    assert precision_in(tmp_path / "s.h5") == "float32"
    assert ("float32, as" in caplog.text) == (why is not None)
    assert why is None or why in caplog.text


def test_a_lower_precision_that_is_slower_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPEED, "bfloat16", 1.1)
    surface(tmp_path / "s.h5")
    assert precision_in(tmp_path / "s.h5") == "float32"


def test_a_resume_takes_the_precision_of_the_file(tmp_path: Path) -> None:
    low, exact = tmp_path / "low.h5", tmp_path / "exact.h5"
    surface(low)
    with pytest.raises(InputError, match="precision"):
        surface(low, precision="float32")
    surface(low, tolerance=None)
    every = surface(tmp_path / "every.h5", tolerance=None, precision="bfloat16")
    np.testing.assert_array_equal(store.read(low)["train_loss"], every["train_loss"])
    assert precision_in(low) == "bfloat16"
    surface(exact, precision="float32")
    surface(exact, tolerance=0.15)
    assert precision_in(exact) == "float32"


@pytest.mark.parametrize("unit", ["colours", "value"])
def test_both_shares_are_within_the_tolerance(unit: Any) -> None:
    whole = Tolerance(0.1, unit)
    left = without_rounding(whole).share
    if unit == "colours":
        assert left + ROUNDING * whole.share == pytest.approx(whole.share)
    else:
        assert (1 + left) * (1 + whole.share) ** ROUNDING == pytest.approx(1 + whole.share)
