"""Random Gaussian directions, the same bits on every rank and machine."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lossgrid.directions.entries import Entries


def gaussian(
    theta: Mapping[str, torch.Tensor], *, seed: int, axis: int, perturb_bias_and_norm: bool = False
) -> Entries:
    """Draw a standard normal direction for the parameters ``theta``.

    Every axis has a generator of its own, NumPy's PCG64 seeded by (seed, axis), whose stream does not depend on
    the processor. Numbers are drawn for all parameters in their order, moved or not, so that moving biases too leaves
    the rest of the direction as it was.

    Args:
        theta: Parameters by name, in the network's order.
        seed: The user's seed.
        axis: 0 for delta, 1 for eta.
        perturb_bias_and_norm: Also move tensors of at most one dimension: biases and the parameters of normalisation
            layers, which the paper leaves alone (Li et al. 2018, section 4).

    Returns:
        Name to direction, float64, on the CPU; complex128 for complex parameters, whose real and imaginary parts are
        drawn one after the other.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, axis])))
    direction: Entries = {}
    for name, tensor in theta.items():
        drawn = generator.standard_normal((*tensor.shape, *([2] if tensor.is_complex() else [])))
        if tensor.ndim > 1 or perturb_bias_and_norm:
            numbers = torch.from_numpy(np.asarray(drawn))
            direction[name] = torch.view_as_complex(numbers) if tensor.is_complex() else numbers
    return direction
