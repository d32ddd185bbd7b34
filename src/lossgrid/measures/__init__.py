"""Measures of a point: the loss, for classes the accuracy, top-k and calibration, and those of users."""

from lossgrid.measures.additive import refuse_loss_that_does_not_add_up
from lossgrid.measures.classes import accuracy
from lossgrid.measures.mean import loss_of
from lossgrid.measures.measure import Measure
from lossgrid.measures.metric import Metric
from lossgrid.measures.objective import Objective, make_objective
from lossgrid.measures.registry import make_metric, users_metric

__all__ = [
    "Measure",
    "Metric",
    "Objective",
    "accuracy",
    "loss_of",
    "make_metric",
    "make_objective",
    "refuse_loss_that_does_not_add_up",
    "users_metric",
]
