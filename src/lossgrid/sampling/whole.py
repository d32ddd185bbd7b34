"""A surface under way with the values that its plan predicts for points that were not computed yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lossgrid.sampling.refine import Picture
from lossgrid.surface import INTERPOLATED, PENDING, Surface


def completed(surface: Surface, picture: Picture, names: Sequence[str]) -> Surface:
    """Return a surface with the values of a picture, ``INTERPOLATED``, wherever it has none that were computed.

    Args:
        surface: The contents of the file.
        picture: What the plan of the run makes of its points.
        names: The quantities, in the order of the picture.
    """
    shape, computed = surface.shape, surface.computed
    values, bars = (
        {name: one.reshape(shape) for name, one in zip(names, arrays, strict=True)}
        for arrays in (picture.values, picture.bars)
    )
    told = ~computed & np.all([np.isfinite(one) for one in values.values()], axis=0)
    with np.errstate(over="ignore"):
        return replace(
            surface,
            values={name: np.where(told, one, surface[name]) for name, one in values.items()},
            bars={name: np.where(told, one, 0.0).astype(np.float32) for name, one in bars.items()},
            status=np.where(told, INTERPOLATED, np.where(computed, surface.status, PENDING)).astype(np.uint8),
            refinement=picture.refinement,
        )
