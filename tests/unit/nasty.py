"""Surfaces a reader may return and nobody expects: losses and coordinates at the ends of float64, few points."""

from __future__ import annotations

import numpy as np

from lossgrid.surface import DONE, FAILED, NOT_FINITE, PENDING, Origin, Surface
from tests.builders import measured

NAN, INF = np.nan, np.inf
LOSSES = (0.0, -0.0, 5e-324, 1e-320, 1e-308, 1e-300, 1e-30, 1.0, 2.3, 1e30, 1e300, 1.7e308, 1.7976931348623157e308)
ODD = (*LOSSES, *(-loss for loss in LOSSES), NAN, INF, -INF)
AXES: dict[str, list[float]] = {
    "plain": [-1.0, -0.5, 0.0, 0.5, 1.0],
    "huge": [-1e308, -1.0, 0.0, 1e-308, 1e308],
    "largest": [-1.7976931348623157e308, 1.7976931348623157e308],
    "tiny": [-1e-308, 0.0, 1e-308],
    "denormal": [0.0, 5e-324, 1e-323],
    "far": [1e300, 1.5e300, 1.6e300],
    "negative zero": [-1.0, -0.0, 1.0],
    "uneven": [-1.0, 1e-300, 1e-5, 3.0, 1e5],
    "point": [0.0],
    "far point": [-1.7e308],
    "rounding": [1.0, 1.0000000000000002],
}
SETS: dict[str, tuple[float, ...]] = {
    "all odd": ODD,
    "positive": LOSSES,
    "negative": tuple(-loss for loss in LOSSES),
    "zeros": (0.0, -0.0),
    "denormals": (0.0, 5e-324, 1e-323, 1e-310),
    "largest": (1.7976931348623157e308, 1.7e308),
    "both ends": (-1.7976931348623157e308, 1.7976931348623157e308),
    "smallest and largest": (5e-324, 1.7976931348623157e308),
    "nothing": (NAN,),
    "infinite": (INF,),
    "few": (NAN, NAN, NAN, NAN, NAN, 1.0, 1e300),
    "one huge": (1.0, 1.0, 1.0, 1.0, 2.0, 1.7e308),
    "nearly equal": (1.0, 1.0000000000000002, 1 - 1e-16),
    "nearly equal and huge": (1.7e308, 1.7000000000000002e308),
    "constant": (2.3,),
    "constant denormal": (5e-324,),
    "constant and largest": (1.7976931348623157e308,),
    "constant and lowest": (-1.7976931348623157e308,),
    "powers": tuple(10.0**power for power in range(-323, 309, 7)),
    "moderate": tuple(np.linspace(0.1, 3.0, 17)),
}


def nasty_surface(seed: int) -> Surface:
    """Return one of them, a line or a plane, chosen by ``seed``."""
    chance = np.random.default_rng(seed)
    names = list(AXES)
    axes = [axis_of(str(chance.choice(names)), chance) for _ in range(int(chance.integers(1, 3)))]
    shape = tuple(len(axis) for axis in axes)
    sets = list(SETS.values())
    metrics = {
        name: values_of(sets[int(chance.integers(len(sets)))], shape, chance)
        for name in ("train_loss", "test_loss", "train_accuracy", "other")
        if chance.random() < 0.6 or name == "train_loss"
    }
    return surface_of(metrics, axes, chance)


def axis_of(name: str, chance: np.random.Generator) -> np.ndarray:
    if name == "plain" and chance.random() < 0.5:
        return np.linspace(-1, 1, int(chance.integers(2, 12)))
    return np.array(AXES[name])


def values_of(among: tuple[float, ...], shape: tuple[int, ...], chance: np.random.Generator) -> np.ndarray:
    values = chance.choice(np.array(among), shape)
    if chance.random() < 0.2:
        values[tuple(0 for _ in shape)] = NAN  # constant, with one point pending
    return values


def surface_of(metrics: dict[str, np.ndarray], axes: list[np.ndarray], chance: np.random.Generator) -> Surface:
    shape = next(iter(metrics.values())).shape
    finite = np.all([np.isfinite(values) for values in metrics.values()], axis=0)
    unknown = chance.choice(np.array([PENDING, NOT_FINITE, FAILED]), shape)
    return Surface(
        alpha=axes[-1],
        beta=axes[0] if len(axes) == 2 else None,
        **measured(metrics),
        status=np.where(finite, DONE, unknown).astype(np.uint8),
        seconds=np.ones(shape, dtype=np.float32),
        rank=np.zeros(shape, dtype=np.int32),
        origin=Origin({"model": "mlp", "loss": "cross_entropy"}),
        complete=bool(finite.all()),
        created="2026-01-01T00:00:00+00:00",
        finished=None,
    )
