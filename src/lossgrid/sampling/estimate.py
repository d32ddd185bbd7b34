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

from lossgrid.sampling.asked import Asked
from lossgrid.sampling.hierarchy import Mask
from lossgrid.sampling.ruler import Tolerance
from lossgrid.sampling.sweep import Lattices, Sweep, sweep
from lossgrid.surface import Quantity

CHEAP = 4  # times the caution of points on all samples: an estimate costs little


@dataclass(frozen=True)
class Estimate:
    """A surface, as far as it can be told.

    Attributes:
        sweep: Its values, and the points that are wanted on all samples.
        missing: Points that are needed first on all samples, ``(n_beta, n_alpha)``, bool.
        missing_few: Those that are needed first on fewer samples.
    """

    sweep: Sweep
    missing: Mask
    missing_few: Mask

    @property
    def is_whole(self) -> bool:
        """Whether nothing is needed."""
        return not (self.missing.any() or self.missing_few.any())


def estimate(
    lattices: Lattices,
    quantities: Sequence[Quantity],
    exact: Asked,
    few: Asked | None,
    tolerance: Tolerance,
    *,
    given: Mask,
    caution: float,
    to_the_end: bool = False,
) -> Estimate:
    """Return the surface that known values make.

    Args:
        lattices: The grid.
        quantities: The quantities of a point.
        exact: Values on all samples.
        few: Values on fewer samples; None to interpolate those on all.
        tolerance: How far values may be off.
        given: Points whose values are used though no cell wants them.
        caution: A factor of all surpluses.
        to_the_end: Interpolate points that are wanted and not known, too.
    """
    if few is None:
        found = sweep(
            lattices, quantities, exact.values, exact.known, tolerance,
            given=given, caution=caution, to_the_end=to_the_end,
        )  # fmt: skip
        return Estimate(found, found.missing, np.zeros_like(given))
    base = sweep(
        lattices, quantities, few.values, few.known, tolerance,
        given=given & few.known, caution=CHEAP * caution, to_the_end=to_the_end,
    )  # fmt: skip
    if base.missing.any():
        # The coarsest corrections are wanted in any case: with them, there is a picture at any moment.
        return Estimate(base, (base.level == 0) & ~exact.known, base.missing)
    found = sweep(
        lattices, quantities, exact.values, exact.known & few.known, tolerance,
        given=given, base=base.values, caution=caution, to_the_end=to_the_end,
    )  # fmt: skip
    if found.missing.any():
        return Estimate(found, found.missing & ~exact.known, found.missing & exact.known & ~few.known)
    both = np.where(found.spread > 0, found.spread + base.spread, found.spread)
    return Estimate(replace(found, spread=both), found.missing, np.zeros_like(given))
