"""The mean of two ways to interpolate: the predictions of lattices, and splines. Both err differently."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossgrid.sampling.hierarchy import Mask
from lossgrid.sampling.spline import smooth
from lossgrid.sampling.sweep import Lattices, Sweep


def blended(found: Sweep, lattices: Lattices, at: Mask) -> Sweep:
    """Return a sweep without missing points with the mean of predictions and splines at some points.

    What they differ by is added to the spread.

    Args:
        found: A sweep.
        lattices: Its grid.
        at: Where, ``(n_beta, n_alpha)``, bool; used points keep their values.
    """
    assert found.used is not None
    assert found.corrections is not None
    one = found.corrections.found
    other = smooth(lattices.alpha, lattices.beta, one, found.used, at & ~found.used)
    other = np.where(np.isfinite(other), other, one)
    pairs = zip(found.rulers, found.corrections.values(one), found.corrections.values(other), strict=True)
    apart = np.stack([ruler.distance(here, there) for ruler, here, there in pairs])
    spread = found.spread + np.where(found.used | ~np.isfinite(apart), 0.0, apart)
    values = np.where(found.used, found.values, found.corrections.values((one + other) / 2))
    return replace(found, values=values, spread=spread)
