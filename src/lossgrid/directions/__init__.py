"""Directions delta and eta: random, from a file, towards other networks, or from another ``DirectionSource``."""

from lossgrid.directions.choice import Choice, moving
from lossgrid.directions.entries import Entries, copied, parameters, states
from lossgrid.directions.filters import Filter, filters_of
from lossgrid.directions.normalise import normalise
from lossgrid.directions.random import Random, gaussian
from lossgrid.directions.registry import Directions, source_of
from lossgrid.directions.source import Around, DirectionSource
from lossgrid.directions.stored import Given, OfFile, arrays_of, match
from lossgrid.directions.towards import Network, Towards, difference, towards
from lossgrid.directions.users import OfUser

__all__ = [
    "Around",
    "Choice",
    "DirectionSource",
    "Directions",
    "Entries",
    "Filter",
    "Given",
    "Network",
    "OfFile",
    "OfUser",
    "Random",
    "Towards",
    "arrays_of",
    "copied",
    "difference",
    "filters_of",
    "gaussian",
    "match",
    "moving",
    "normalise",
    "parameters",
    "source_of",
    "states",
    "towards",
]
