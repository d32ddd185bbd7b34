import math

import numpy as np
import pytest

from lossgrid.run.rounding import differences_from_float32, sample_points
from lossgrid.surface import Axis, Grid
from tests.builders import a_surface, quantities


def test_centre_and_corners_are_among_the_points() -> None:
    points = sample_points(Grid(Axis(-1, 1, 5), Axis(-1, 1, 3)), seed=1)
    assert {(1, 2), (0, 0), (0, 4), (2, 0), (2, 4)} <= set(points)
    assert len(points) == len(set(points)) <= 9
    assert points == sample_points(Grid(Axis(-1, 1, 5), Axis(-1, 1, 3)), seed=1)
    assert sample_points(Grid(Axis(0, 0, 1)), seed=1) == [(0, 0)]
    assert set(sample_points(Grid(Axis(0, 1, 9)), seed=2)) >= {(0, 0), (0, 4), (0, 8)}


def test_differences_are_relative_for_losses_and_plain_for_accuracies() -> None:
    loss = np.array([[1.0, 2.2], [math.inf, math.nan]])
    accuracy = np.array([[0.5, 0.6], [0.1, 0.1]])
    surface = a_surface({"train_loss": loss, "train_accuracy": accuracy}, status=np.ones((2, 2)))
    exact = {(0, 1): [2.0, 0.5], (1, 0): [math.inf, 0.1], (1, 1): [math.nan, 0.1]}
    found = differences_from_float32(surface, exact, quantities("train"), "bfloat16")
    assert found["largest"] == pytest.approx({"train_loss": 0.1, "train_accuracy": 0.1})
    assert found["points"] == [[0, 1], [1, 0], [1, 1]]
