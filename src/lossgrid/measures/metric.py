"""A measure that a run adds to loss and accuracy: what one ``--metric`` names."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import nn

from lossgrid.measures.mean import Mean
from lossgrid.measures.measure import Measure
from lossgrid.measures.objective import Objective
from lossgrid.measures.outputs import Read, Reading


@dataclass(frozen=True)
class Metric:
    """A measure, and how its additivity can be checked.

    Attributes:
        measure: Computes the quantities.
        objective: The objective of a user's function, which :func:`refuse_loss_that_does_not_add_up` can check; None
            for built-in measures and for objects.
        is_users: Whether a user wrote it; then it gets the outputs of the network as they are.
    """

    measure: Measure
    objective: Objective | None = None
    is_users: bool = False

    def bound_to(self, model: nn.Module) -> Metric:
        """Return the same metric; a user's function with a parameter ``model`` gets ``model``, the moving network."""
        if not isinstance(self.measure, Mean) or self.objective is None or not self.objective.takes_model:
            return self
        objective = self.objective.bound_to(model)
        return replace(self, measure=replace(self.measure, terms=objective.terms), objective=objective)

    def of_outputs(self, reading: Reading) -> Metric:
        """Return the same metric of outputs of several tensors: a built-in one reads the one that the rule names."""
        return self if self.is_users or not reading.about else replace(self, measure=Read(self.measure, reading))
