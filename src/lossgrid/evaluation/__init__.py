"""Evaluating points: the objective, the plane the network moves in, the network made fast, the pass over the data."""

from lossgrid.evaluation import arithmetic
from lossgrid.evaluation.device import (
    Place,
    choose_place,
    core_quota,
    nvidia_devices,
    offered_cores,
    own_cores,
    processor,
    share_threads,
    visible_gpus,
)
from lossgrid.evaluation.evaluator import Column, Evaluator
from lossgrid.evaluation.memory import freed_memory_kept
from lossgrid.evaluation.objective import Objective, make_objective
from lossgrid.evaluation.plane import Plane
from lossgrid.evaluation.sameness import AMPLIFIED, ROUNDINGS, Differs, Unsuitable, twin_of
from lossgrid.evaluation.settling import wants_channels_last
from lossgrid.evaluation.tuning import USUAL_BATCH, WORTH, best_batch_size, even_batches, seconds_in_turns

__all__ = [
    "AMPLIFIED",
    "ROUNDINGS",
    "USUAL_BATCH",
    "WORTH",
    "Column",
    "Differs",
    "Evaluator",
    "Objective",
    "Place",
    "Plane",
    "Unsuitable",
    "arithmetic",
    "best_batch_size",
    "choose_place",
    "core_quota",
    "even_batches",
    "freed_memory_kept",
    "make_objective",
    "nvidia_devices",
    "offered_cores",
    "own_cores",
    "processor",
    "seconds_in_turns",
    "share_threads",
    "twin_of",
    "visible_gpus",
    "wants_channels_last",
]
