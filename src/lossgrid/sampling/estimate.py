"""The estimate of a whole surface: interpolated, or estimated on fewer samples and corrected.

The error of a fixed choice of samples is nearly the same at points nearby, however rough the surface is: the ratio of
the losses on all samples and on fewer is smooth. So one sweep makes the surface of fewer samples, and another sweep the
ratio, from points that are computed on all samples. Their product is the estimate. (The idea is that of multi-fidelity
models: Kennedy and O'Hagan, "Predicting the output from a complex computer code when fast approximations are
available", Biometrika 87, 2000.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lossgrid.sampling.asked import Asked, Mask
from lossgrid.sampling.ruler import Tolerance
from lossgrid.sampling.sweep import Places, Sweep, sweep
from lossgrid.surface import Quantity

CHEAP = 4  # estimates may be off by so many times less than values on all samples: they cost little


@dataclass(frozen=True)
class Estimate:
    """A surface, as far as it can be told.

    Attributes:
        sweep: Its values, and the points that are wanted on all samples.
        missing: Points that are needed first on all samples, ``(n_beta, n_alpha)``, bool.
        missing_few: Those that are needed first on fewer samples.
        base: The surface on fewer samples; None without, or where points of it are missing.
    """

    sweep: Sweep
    missing: Mask
    missing_few: Mask
    base: Sweep | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is needed."""
        return not (self.missing.any() or self.missing_few.any())


def estimate(
    places: Places,
    quantities: Sequence[Quantity],
    exact: Asked,
    few: Asked | None,
    tolerance: Tolerance,
    *,
    given: Mask,
    limit: float,
    base: Sweep | None = None,
    to_the_end: bool = False,
) -> Estimate:
    """Return the surface that known values make; the rounds that they allow are noted in ``exact`` and ``few``.

    Args:
        places: The grid.
        quantities: The quantities of a point.
        exact: Values on all samples.
        few: Values on fewer samples; None to interpolate those on all.
        tolerance: How far values may be off.
        given: Points whose values are used though no round wanted them.
        limit: The largest standard error of a point that is not wanted, in tolerances.
        base: The surface on fewer samples, where it is known already.
        to_the_end: Interpolate through all known points, and note nothing.
    """

    def swept(asked: Asked, known: Mask, limit: float, base: Sweep | None = None) -> Sweep:
        found = sweep(
            places, quantities, replace(asked, known=known), tolerance,
            given=given & known, limit=limit, base=None if base is None else base.values, to_the_end=to_the_end,
        )  # fmt: skip
        if not to_the_end:
            asked.level[...] = found.level
        return found

    if few is None:
        found = swept(exact, exact.known, limit)
        return Estimate(found, found.missing, np.zeros_like(given))
    if base is None or to_the_end:
        base = swept(few, few.known, limit / CHEAP)
    if base.missing.any():
        # The first corrections are wanted in any case: with them, there is a picture at any moment.
        return Estimate(base, places.first() & ~exact.known, base.missing)
    found = swept(exact, exact.known & few.known, limit, base)
    if found.missing.any():
        return Estimate(found, found.missing & ~exact.known, found.missing & exact.known & ~few.known, base)
    both = np.where(found.spread > 0, found.spread + base.spread, found.spread)
    return Estimate(replace(found, spread=both), found.missing, base.missing, base)
