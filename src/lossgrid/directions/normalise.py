"""Normalising a direction to the scale of the network (Li et al. 2018, section 4, equation 1)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from lossgrid.directions.entries import Entries

EPSILON = 1e-10


def normalise(direction: Mapping[str, torch.Tensor], theta: Mapping[str, torch.Tensor], norm: str) -> Entries:
    """Rescale ``direction`` to ``theta``, tensor by tensor.

    * ``filter``: each slice along dimension 0 gets the norm of the same slice of theta:
      ``d_i ||w_i|| / (||d_i|| + 1e-10)``. For a convolution a slice is the kernel of one output channel (of one input
      channel where it is transposed), for a linear layer the weights into one neuron, for an embedding the vector of
      one token. A tensor of at most one dimension is one filter.
    * ``layer``: each tensor gets the norm of the same tensor of theta.
    * ``weight``: each number is multiplied by the same number of theta.
    * ``none``: as drawn.

    Args:
        direction: Name to direction; only these entries are moved.
        theta: At least the same entries of the trained network.
        norm: One of the names above.

    Returns:
        Name to direction, float64, on the CPU.
    """
    return {name: _normalise(tensor, theta[name], norm) for name, tensor in direction.items()}


def _normalise(direction: torch.Tensor, theta: torch.Tensor, norm: str) -> torch.Tensor:
    # NumPy's sums have one order on every processor, those of torch depend on the width of its vectors.
    d, w = (tensor.detach().cpu().double().numpy() for tensor in (direction, theta))
    if norm == "weight":
        d = d * w
    elif norm in ("filter", "layer"):
        axes = tuple(range(1 if norm == "filter" and d.ndim > 1 else 0, d.ndim))
        d = d * (_length(w, axes) / (_length(d, axes) + EPSILON))
    return torch.from_numpy(np.asarray(d))


def _length(array: npt.NDArray[np.float64], axes: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return the Euclidean length over ``axes``, which stay as dimensions of size 1."""
    squares: npt.NDArray[np.float64] = np.square(array).sum(axis=axes, keepdims=True)
    return np.sqrt(squares)
