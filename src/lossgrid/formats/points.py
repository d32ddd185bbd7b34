"""The coordinates of all points of a surface."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lossgrid.surface import Surface


def coordinates(surface: Surface) -> dict[str, npt.NDArray[np.float64]]:
    """Return the coordinates of all points by the name of the axis, alpha first, each ``surface.shape``, float64."""
    if surface.beta is None:
        return {"alpha": surface.alpha}
    beta, alpha = np.meshgrid(surface.beta, surface.alpha, indexing="ij")
    return {"alpha": alpha, "beta": beta}
