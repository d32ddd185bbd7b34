"""Measures of a point: the loss, for classes the accuracy, top-k and calibration, and those of users."""

from lossgrid.measures.additive import fault_of_sums, refuse_loss_that_does_not_add_up
from lossgrid.measures.labels import Labels
from lossgrid.measures.losses import LOSSES, make_objective
from lossgrid.measures.measure import Measure
from lossgrid.measures.metric import Metric
from lossgrid.measures.objective import Objective
from lossgrid.measures.of_objective import measures_of, of_labels
from lossgrid.measures.registry import make_metric, users_metric
from lossgrid.measures.step import Step, step_of

__all__ = [
    "LOSSES",
    "Labels",
    "Measure",
    "Metric",
    "Objective",
    "Step",
    "fault_of_sums",
    "make_metric",
    "make_objective",
    "measures_of",
    "of_labels",
    "refuse_loss_that_does_not_add_up",
    "step_of",
    "users_metric",
]
