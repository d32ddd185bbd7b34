"""Directions delta and eta: drawn, normalised, taken between networks, or matched with a file."""

from lossgrid.directions.difference import difference
from lossgrid.directions.entries import Entries, copied, parameters, states
from lossgrid.directions.normalise import normalise, transposed_groups
from lossgrid.directions.random import gaussian
from lossgrid.directions.stored import arrays_of, match

__all__ = [
    "Entries",
    "arrays_of",
    "copied",
    "difference",
    "gaussian",
    "match",
    "normalise",
    "parameters",
    "states",
    "transposed_groups",
]
