"""The centre, alpha = beta = 0, which is theta*, and the profiles through it."""

from __future__ import annotations

import numpy as np

from lossgrid.errors import InputError
from lossgrid.numbers.definition import Definition
from lossgrid.numbers.landscape import Landscape, Values


def centre(land: Landscape) -> float:
    """Return the value at alpha = beta = 0, theta*; linear between points if it is no point.

    Raises:
        InputError: The grid does not contain the centre, or its value is unknown.
    """
    return bottom(land) * land.unit


def bottom(land: Landscape) -> float:
    """Return the value at the centre in ``land.unit``; see :func:`centre`."""
    return float(at_zero(land.alpha, profiles(land)[0], "alpha"))


def profiles(land: Landscape) -> tuple[Values, ...]:
    """Return the values along the axes through the centre: on beta = 0, shape ``(n_alpha,)``, and on alpha = 0.

    Raises:
        InputError: The grid does not contain the centre, or its value is unknown.
    """
    along_alpha = at_zero(land.rows, land.values, "beta")
    if np.isnan(at_zero(land.alpha, along_alpha, "alpha")):
        raise InputError(
            "the value at the centre, alpha = beta = 0, is unknown or above vmax; all is measured from there"
        )
    return (along_alpha,) if land.is_line else (along_alpha, at_zero(land.alpha, land.values.T, "alpha"))


def around_zero(coordinates: Values, name: str) -> list[int]:
    """Return the index of 0 in ``coordinates``, or the two indices around it.

    Raises:
        InputError: 0 is outside.
    """
    if not coordinates[0] <= 0 <= coordinates[-1]:
        raise InputError(
            f"the grid does not hold the centre: {name} goes from {coordinates[0]:g} to {coordinates[-1]:g}; "
            "numbers are measured from alpha = beta = 0"
        )
    after = int(np.searchsorted(coordinates, 0.0))
    return [after] if coordinates[after] == 0 else [after - 1, after]


def at_zero(coordinates: Values, values: Values, name: str) -> Values:
    """Return ``values`` at coordinate 0 of their first axis, shape ``values.shape[1:]``, linear between points."""
    indices = around_zero(coordinates, name)
    if len(indices) == 1:
        return np.asarray(values[indices[0]])
    before, after = indices
    fraction = -coordinates[before] / (coordinates[after] - coordinates[before])
    return np.asarray((1 - fraction) * values[before] + fraction * values[after])


CENTRE = Definition("centre", "{what} at the centre", lambda of: centre(of.land), units="L")
