"""What is measured at a point: the loss, and for classes the accuracy; top-k, calibration, a user's own."""

from lossgrid.measures.additive import refuse_loss_that_does_not_add_up
from lossgrid.measures.classes import accuracy
from lossgrid.measures.mean import loss_of
from lossgrid.measures.measure import Measure
from lossgrid.measures.objective import Objective, make_objective
from lossgrid.measures.registry import Made, bound, given, make

__all__ = [
    "Made",
    "Measure",
    "Objective",
    "accuracy",
    "bound",
    "given",
    "loss_of",
    "make",
    "make_objective",
    "refuse_loss_that_does_not_add_up",
]
