"""Random Gaussian directions, normalised as in the paper; the same bits on every rank and machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lossgrid.directions.entries import Entries, parameters
from lossgrid.directions.filters import filters_of
from lossgrid.directions.normalise import normalise
from lossgrid.directions.source import Around
from lossgrid.directions.stream import normal

VERSION = 2  # of the random stream; each surface file stores the version of its own

Draw = Callable[[str, tuple[int, ...]], npt.NDArray[np.float64]]  # numbers for a parameter, from its name and shape


@dataclass(frozen=True)
class Random:
    """Random directions, normalised to the network (Li et al. 2018, section 4).

    Attributes:
        seed: The user's seed.
        norm: ``filter``, ``layer``, ``weight`` or ``none``; see :func:`~lossgrid.directions.normalise`.
        perturb_bias_and_norm: Also move biases and the parameters of normalisation layers.
        version: Version of the random stream; see :func:`gaussian`.
    """

    seed: int = 0
    norm: str = "filter"
    perturb_bias_and_norm: bool = False
    version: int = VERSION
    needs_data: bool = False
    needs_all_ranks: bool = False

    def make(self, around: Around, axes: int) -> list[Entries]:
        """Return one direction for each axis, each from its own stream."""
        return [self.of_axis(around.model, axis, around.moves) for axis in range(axes)]

    def of_axis(self, model: torch.nn.Module, axis: int, moves: frozenset[str] | None = None) -> Entries:
        """Return the direction of an axis, 0 for delta, 1 for eta; ``moves`` are the entries that may move."""
        theta = parameters(model)
        drawn = gaussian(
            theta,
            seed=self.seed,
            axis=axis,
            perturb_bias_and_norm=self.perturb_bias_and_norm,
            version=self.version,
            moves=moves,
        )
        return normalise(drawn, theta, self.norm, filters=filters_of(model, version=self.version))


def gaussian(
    theta: Mapping[str, torch.Tensor],
    *,
    seed: int,
    axis: int,
    perturb_bias_and_norm: bool = False,
    version: int = VERSION,
    moves: Collection[str] | None = None,
) -> Entries:
    """Return a standard normal direction for the parameters ``theta``.

    Args:
        theta: Parameters by name, in the network's order.
        seed: The user's seed.
        axis: 0 for delta, 1 for eta.
        perturb_bias_and_norm: Also move tensors of at most one dimension: biases and the parameters of normalisation
            layers, which do not move in the paper (Li et al. 2018, section 4).
        version: 2: each parameter has its own stream, addressed by its name (:mod:`lossgrid.directions.stream`), so
            that its numbers do not depend on the other parameters. 1: one stream for all parameters in their order,
            as in surfaces older than version 2.
        moves: The names of the parameters that may move; None for all. The numbers of these do not depend on the rest.

    Returns:
        Name to direction, float64, on the CPU; complex128 for complex parameters, whose real and imaginary parts are
        drawn one after the other.
    """
    draw = _one_stream(seed, axis) if version == 1 else _streams(seed, axis)
    direction: Entries = {}
    for name, tensor in theta.items():
        is_moved = (tensor.ndim > 1 or perturb_bias_and_norm) and (moves is None or name in moves)
        if is_moved or version == 1:  # version 1 draws numbers also for parameters that do not move
            drawn = draw(name, (*tensor.shape, *([2] if tensor.is_complex() else [])))
        if is_moved:
            numbers = torch.from_numpy(np.asarray(drawn))
            direction[name] = torch.view_as_complex(numbers) if tensor.is_complex() else numbers
    return direction


def _streams(seed: int, axis: int) -> Draw:
    return lambda name, shape: normal(seed, axis, name, math.prod(shape)).reshape(shape)


def _one_stream(seed: int, axis: int) -> Draw:
    """Return the numbers of NumPy's PCG64, seeded by (seed, axis)."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, axis])))
    return lambda _, shape: generator.standard_normal(shape)
