"""Evaluating points: the objective, the plane the network moves in, the pass over the data."""

from lossgrid.evaluation.device import Place, choose_place, own_cores, share_threads
from lossgrid.evaluation.evaluator import Column, Evaluator, wants_channels_last
from lossgrid.evaluation.memory import freed_memory_kept
from lossgrid.evaluation.objective import Objective, make_objective
from lossgrid.evaluation.plane import Plane

__all__ = [
    "Column",
    "Evaluator",
    "Objective",
    "Place",
    "Plane",
    "choose_place",
    "freed_memory_kept",
    "make_objective",
    "own_cores",
    "share_threads",
    "wants_channels_last",
]
