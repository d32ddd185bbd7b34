"""A number of a surface: how much it rises from one end of alpha to the other."""

import numpy as np

from lossgrid.surface import Quantity, Surface


def tilt(surface: Surface, quantity: Quantity) -> float:
    """Return the mean rise along alpha."""
    values = surface[quantity.name]
    return float(np.nanmean(values[..., -1] - values[..., 0]))
