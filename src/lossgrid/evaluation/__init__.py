"""The evaluation of points: the plane, the variants of the network, the pass over the data, the device."""

from lossgrid.evaluation import arithmetic
from lossgrid.evaluation.conversion import wants_channels_last
from lossgrid.evaluation.device import Device, choose_device
from lossgrid.evaluation.evaluator import Evaluator
from lossgrid.evaluation.fewer import with_fewer
from lossgrid.evaluation.fit import Fit
from lossgrid.evaluation.forward import Forward
from lossgrid.evaluation.network import FEW
from lossgrid.evaluation.plane import Plane
from lossgrid.evaluation.point import Measured, PointEvaluator
from lossgrid.evaluation.sameness import AMPLIFIED, Differs, Unsuitable, twin_of
from lossgrid.evaluation.subject import Subject
from lossgrid.evaluation.threads import share_threads, warn_of_sharing
from lossgrid.evaluation.tuning import WORTH, best_batch_size, even_batches, seconds_in_turns, usual_batch

__all__ = [
    "AMPLIFIED",
    "FEW",
    "WORTH",
    "Device",
    "Differs",
    "Evaluator",
    "Fit",
    "Forward",
    "Measured",
    "Plane",
    "PointEvaluator",
    "Subject",
    "Unsuitable",
    "arithmetic",
    "best_batch_size",
    "choose_device",
    "even_batches",
    "seconds_in_turns",
    "share_threads",
    "twin_of",
    "usual_batch",
    "wants_channels_last",
    "warn_of_sharing",
    "with_fewer",
]
