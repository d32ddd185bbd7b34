"""A measure that a run adds to loss and accuracy: what one ``--metric`` names."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import nn

from lossgrid.measures.mean import Mean
from lossgrid.measures.measure import Measure
from lossgrid.measures.objective import Objective


@dataclass(frozen=True)
class Metric:
    """A measure, and how its additivity can be checked.

    Attributes:
        measure: Computes the quantities.
        objective: The objective of a user's function, which :func:`refuse_loss_that_does_not_add_up` can check; None
            for built-in measures and for objects.
    """

    measure: Measure
    objective: Objective | None = None

    def bound_to(self, model: nn.Module) -> Metric:
        """Return the same metric; a user's function with a parameter ``model`` gets ``model``, the moving network."""
        if not isinstance(self.measure, Mean) or self.objective is None or not self.objective.takes_model:
            return self
        objective = self.objective.bound_to(model)
        return Metric(replace(self.measure, terms=objective.terms), objective)
