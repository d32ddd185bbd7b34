"""Roughness and negative curvature of a surface."""

from __future__ import annotations

import numpy as np

from lossgrid.numbers.definition import SHARE, Definition
from lossgrid.numbers.landscape import Landscape, Values


def roughness(land: Landscape) -> float:
    """Return the normalised total variation along the lines of the grid.

    sum over rows and columns of sum_i |L_i+1 - L_i|, divided by the sum over the same lines of max L - min L: 1 where
    every line only rises or only falls, 2 where each is a valley with equal ends, 2 k where each goes up and down k
    times. Normalising by the range makes surfaces of different height and extent comparable; the roughness index of Wu
    et al. 2021 is made of such numbers along random directions.

    Returns:
        At least 1, without unit; 0 if all values are equal. Unknown values are ignored.
    """
    sums = np.sum(
        [_variation(lines) for lines in ([land.values] if land.is_line else [land.values, land.values.T])], axis=0
    )
    return float(sums[0] / sums[1]) if sums[1] else 0.0


def _variation(lines: Values) -> tuple[float, float]:
    """Return the sums over rows of the variation and of the range; unknown values are ignored."""
    row, column = np.nonzero(np.isfinite(lines))
    finite = lines[row, column]
    goes_on = row[1:] == row[:-1]
    starts = np.flatnonzero(np.append(True, ~goes_on))
    ranges = np.maximum.reduceat(finite, starts) - np.minimum.reduceat(finite, starts)
    return float(np.abs(np.diff(finite))[goes_on].sum()), float(ranges.sum())


def negative_curvature(land: Landscape) -> tuple[float, int]:
    """Return the fraction of inner points with negative curvature in some direction.

    By finite differences of the three points along each axis, exact for quadratic functions on any spacing: the second
    derivative of a line, the smaller eigenvalue of the Hessian of a plane. It counts as negative below what rounding
    (``land.noise``) of the values could do. Li et al. 2018 judge convexity by the eigenvalues of the full Hessian, of
    which those of a random plane are weighted means. Whether an eigenvalue is negative does not depend on
    the scale of the axes.

    Returns:
        The fraction, 0..1, NaN if there are no inner points; and the number of inner points.
    """
    alpha_first, alpha_second = _stencils(land.alpha)
    values = land.values
    if land.beta is None:
        curvature = _apply(alpha_second, values)
        noise = _apply(np.abs(alpha_second), np.abs(values))
    else:
        beta_first, beta_second = _stencils(land.beta)
        across, down = values[1:-1], values[:, 1:-1].T
        both = [(alpha_second, across), (beta_second, down)]
        in_alpha, in_beta = _apply(alpha_second, across), _apply(beta_second, down).T
        mixed = _apply(beta_first, _apply(alpha_first, values).T).T
        curvature = (in_alpha + in_beta) / 2 - np.hypot((in_alpha - in_beta) / 2, mixed)
        of_alpha, of_beta = (_apply(np.abs(stencil), np.abs(some)) for stencil, some in both)
        of_mixed = _apply(np.abs(beta_first), _apply(np.abs(alpha_first), np.abs(values)).T).T
        noise = np.maximum(of_alpha, of_beta.T) + of_mixed  # bounds the norm of the error of the Hessian
    finite = np.isfinite(curvature + noise)
    count = int(np.count_nonzero(finite))
    bent = int(np.count_nonzero(curvature[finite] < -land.noise * noise[finite]))
    return (bent / count if count else np.nan), count


def _stencils(coordinates: Values) -> tuple[Values, Values]:
    """Return the weights of three neighbours for the first and second derivative at the middle one.

    Returns:
        Two arrays of shape ``(3, n - 2)``, float64: of the point before, the point itself and the point after.
    """
    before, after = np.diff(coordinates)[:-1], np.diff(coordinates)[1:]
    both = before + after
    first = np.stack([-after / (before * both), (after - before) / (before * after), before / (after * both)])
    second = np.stack([2 / (before * both), -2 / (before * after), 2 / (after * both)])
    return first, second


def _apply(stencil: Values, values: Values) -> Values:
    """Apply weights along the last axis, ``(..., n)`` to ``(..., n - 2)``; NaN where one of the three is unknown."""
    applied: Values = stencil[0] * values[..., :-2] + stencil[1] * values[..., 1:-1] + stencil[2] * values[..., 2:]
    return applied


ROUGHNESS = Definition(
    "roughness", "roughness (variation / range)", lambda of: roughness(of.land), source="after Wu et al. 2021"
)
NEGATIVE_CURVATURE = Definition(
    "negative_curvature", "negative curvature", lambda of: negative_curvature(of.land)[0],
    source="after Li et al. 2018", units=SHARE,
)  # fmt: skip
