"""Normalising a direction to the scale of the network (Li et al. 2018, section 4, equation 1).

A filter is the set of weights that produce one output of a layer: of one neuron, or of one channel of a convolution. In
most tensors that is a slice along dimension 0; :mod:`lossgrid.directions.filters` knows the others. docs/directions.md
lists the filters of each kind of layer, and the rescalings of a network that do not change its surface.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch

from lossgrid.directions.entries import Entries, exact
from lossgrid.directions.filters import Filter

EPSILON = 1e-10  # added to the norm of a filter of the direction, as in the paper's code: avoids division by 0
SLICES: Mapping[str, Filter] = MappingProxyType({})  # every filter is a slice along dimension 0

Array = npt.NDArray[np.float64]


def normalise(
    direction: Mapping[str, torch.Tensor],
    theta: Mapping[str, torch.Tensor],
    norm: str,
    *,
    filters: Mapping[str, Filter] = SLICES,
) -> Entries:
    """Return ``direction`` rescaled to ``theta``, tensor by tensor.

    * ``filter``: each filter gets the norm of the same filter of theta, ``d_i ||w_i|| / (||d_i|| + 1e-10)``. Filters
      are those of ``filters``; in all other tensors, the slices along dimension 0. A tensor of at most one dimension is
      one filter.
    * ``layer``: each tensor gets the norm of the same tensor of theta.
    * ``weight``: each number is multiplied by the same number of theta.
    * ``none``: as drawn.

    Args:
        direction: Name to direction; only these entries are moved.
        theta: At least the same entries of the trained network.
        norm: One of the names above.
        filters: The filters that are no slices along dimension 0, by name; see
            :func:`~lossgrid.directions.filters.filters_of`.

    Returns:
        Name to direction, float64, complex128 where it is complex, on the CPU. The norm of a complex filter is that of
        its real and imaginary parts together; ``weight`` multiplies each part by the same part of theta.
    """
    return {name: _normalise(tensor, theta[name], norm, filters.get(name)) for name, tensor in direction.items()}


def _normalise(direction: torch.Tensor, theta: torch.Tensor, norm: str, own: Filter | None) -> torch.Tensor:
    if direction.is_complex():  # a complex number is two real ones, along a last dimension
        d, w = (torch.view_as_real(tensor.detach().cpu().to(exact(tensor))) for tensor in (direction, theta))
        return torch.view_as_complex(_normalise_real(d, w, norm, own, scalar_ndim=2).contiguous())
    return _normalise_real(direction, theta, norm, own, scalar_ndim=1)


def _normalise_real(
    direction: torch.Tensor, theta: torch.Tensor, norm: str, own: Filter | None, *, scalar_ndim: int
) -> torch.Tensor:
    """Return real numbers rescaled; a tensor of at most ``scalar_ndim`` dimensions is one filter."""
    # NumPy sums in the same order on every processor; in torch the order depends on the width of SIMD vectors.
    d, w = (tensor.detach().cpu().double().numpy() for tensor in (direction, theta))
    if norm == "weight":
        d = d * w
    elif norm == "layer":
        d = _rescaled(d, w, tuple(range(d.ndim)))
    elif norm == "filter" and own is not None:
        parts = d.shape[d.ndim + 1 - scalar_ndim :]  # real and imaginary part of complex numbers
        shape = (*own.shape, *parts)
        within = (*own.within, *range(len(own.shape), len(shape)))
        d = _rescaled(d.reshape(shape), w.reshape(shape), within).reshape(d.shape)
    elif norm == "filter":
        d = _rescaled(d, w, tuple(range(1 if d.ndim > scalar_ndim else 0, d.ndim)))
    return torch.from_numpy(np.asarray(d))


def _rescaled(d: Array, w: Array, axes: tuple[int, ...]) -> Array:
    """Return ``d`` with each slice along ``axes`` scaled to the length of the same slice of ``w``."""
    rescaled: Array = d * (_length(w, axes) / (_length(d, axes) + EPSILON))
    return rescaled


def _length(array: Array, axes: tuple[int, ...]) -> Array:
    """Return the Euclidean length along ``axes``, which remain as dimensions of size 1."""
    squares: Array = np.square(array).sum(axis=axes, keepdims=True)
    return np.sqrt(squares)
