"""How a tolerance is divided: a share for the rounding of a lower precision, the rest for estimates."""

from __future__ import annotations

from dataclasses import replace

from lossgrid.sampling.ruler import Tolerance

ROUNDING = 0.25  # share of a tolerance that is kept for rounding, where the precision is lower than float32


def without_rounding(tolerance: Tolerance) -> Tolerance:
    """Return what is left for interpolation and samples, so that both shares together are within ``tolerance``.

    >>> without_rounding(Tolerance(0.01)).share
    0.0075
    """
    left = 1 - ROUNDING
    if tolerance.unit == "value":  # shares of a value multiply
        return replace(tolerance, share=(1 + tolerance.share) ** left - 1)
    return replace(tolerance, share=tolerance.share * left)
