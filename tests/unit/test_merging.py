"""The merge tree against slow and obvious references, and how long numbers of large surfaces take."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lossgrid import numbers, store
from lossgrid.cli import comparison
from lossgrid.numbers.basin import _component
from lossgrid.numbers.middle import around_zero
from tests.builders import a_surface

Place = tuple[int, int]


def neighbours(place: Place, shape: tuple[int, ...]) -> list[Place]:
    row, column = place
    around = [(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    return [(i, j) for i, j in around if 0 <= i < shape[0] and 0 <= j < shape[1]]


def flooded(start: list[Place], allowed: np.ndarray) -> set[Place]:
    """Return the places connected with ``start`` where ``allowed``, one after the other."""
    found = {place for place in start if allowed[place]}
    waiting = list(found)
    while waiting:
        for place in neighbours(waiting.pop(), allowed.shape):
            if allowed[place] and place not in found:
                found.add(place)
                waiting.append(place)
    return found


def lowest_ways_out(values: np.ndarray) -> list[float]:
    """Return the persistence of all minima, by flooding from each point at ever higher levels."""
    known = sorted({float(value) for value in values.ravel() if np.isfinite(value)})
    places = [place for place in np.ndindex(values.shape) if np.isfinite(values[place])]
    order = sorted(places, key=lambda place: (values[place], place))
    age = {place: number for number, place in enumerate(order)}
    found = []
    for place in places:
        way_out = known[-1]
        for height in known:
            if height >= values[place]:
                with np.errstate(invalid="ignore"):
                    part = flooded([place], values <= height)
                if any(age[other] < age[place] for other in part):
                    way_out = height
                    break
        else:
            height = np.inf
        if way_out > values[place] or height == np.inf:
            found.append(way_out - values[place])
    return sorted(found)


@pytest.mark.parametrize("seed", range(30))
def test_minima_are_those_of_flooding_from_every_point(seed: int) -> None:
    chance = np.random.default_rng(seed)
    shape = (1, 17) if seed % 3 == 0 else (5, 6)
    values = chance.integers(0, 6, shape).astype(float) if seed % 2 else chance.random(shape)
    values[chance.random(shape) < 0.1 * (seed % 4 == 3)] = np.nan
    alpha, beta = np.arange(float(shape[1])), None if shape[0] == 1 else np.arange(float(shape[0]))
    land = numbers.of_arrays(values[0] if beta is None else values, alpha, beta)
    found = sorted(minimum.persistence for minimum in numbers.minima(land))
    np.testing.assert_allclose(found, lowest_ways_out(values), rtol=0, atol=1e-15)


@pytest.mark.parametrize("seed", range(30))
def test_the_part_around_the_centre_is_that_of_flooding(seed: int) -> None:
    chance = np.random.default_rng(seed)
    shape = (int(chance.integers(3, 12)), int(chance.integers(3, 12)))
    values = np.where(chance.random(shape) < 0.1, np.nan, chance.integers(0, 5, shape).astype(float))
    land = numbers.of_arrays(values, np.linspace(-1, 1, shape[1]), np.linspace(-1, 1.2, shape[0]))
    start = [(i, j) for i in around_zero(land.rows, "beta") for j in around_zero(land.alpha, "alpha")]
    for height in (-1.0, 0.0, 2.0, 2.5, 9.0):
        expected = flooded(start, np.nan_to_num(values, nan=np.inf) <= height)
        assert set(zip(*np.nonzero(_component(land, height)), strict=True)) == expected


def maze(size: int) -> np.ndarray:
    """Return a floor that winds through the whole plane between walls."""
    values = np.ones((size, size))
    values[1::2] = 2.0
    values[1::4, -1] = values[3::4, 0] = 1.0
    return values


LARGE: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "line of chance": lambda chance: chance.random(200_001),
    "line of a bowl with a hole at its end": lambda _: np.append(np.linspace(-1, 1, 200_000) ** 2, -1.0),
    "zigzag": lambda _: np.arange(200_001) % 2 + 1e-6 * np.arange(200_001),
    "plane of chance": lambda chance: chance.random((401, 401)),
    "maze": lambda _: maze(401),
    "three long rows": lambda chance: chance.random((3, 60_001)),
    "three long columns": lambda chance: chance.random((60_001, 3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_numbers_of_large_surfaces_take_seconds(tmp_path: Path, name: str) -> None:
    values = 0.5 + LARGE[name](np.random.default_rng(0))
    surface = a_surface(
        {"train_loss": values},
        alpha=np.linspace(-1, 1, values.shape[-1]),
        beta=np.linspace(-1, 1, len(values)) if values.ndim == 2 else None,
    )
    store.save(tmp_path / "s.h5", surface, overwrite=False)
    began = time.process_time()
    (measured,) = comparison.compare_files(
        [tmp_path / "s.h5"], metric=None, radius=0.5, levels=comparison.LEVELS, log_scale=None, vmax=None, labels=[],
        out=None, draw=False, overwrite=False,
    )  # fmt: skip
    assert len(comparison.as_json([measured])) > 500
    assert time.process_time() - began < 20  # some 2 s; a quadratic way takes minutes
