"""The results of a point, and the socket for what computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from lossgrid.surface import Quantity

Values = npt.NDArray[np.float64]


class Measured(NamedTuple):
    """The results of a point.

    Attributes:
        values: The quantities, in the order of the evaluator, shape ``(n_quantities,)``, float64.
        errors: Their standard errors over the samples, of the same shape; NaN where not known.
        seconds: The cost of the point.
    """

    values: Values
    errors: Values
    seconds: float

    def joined(self, other: Measured) -> Measured:
        """Return the results of both, one after the other."""
        values, errors = (np.concatenate(pair) for pair in ((self.values, other.values), (self.errors, other.errors)))
        return Measured(values, errors, self.seconds + other.seconds)


class PointEvaluator(Protocol):
    """Computes points: :class:`~lossgrid.evaluation.evaluator.Evaluator` on one device, others on several."""

    @property
    def quantities(self) -> Sequence[Quantity]:
        """What :meth:`point` returns, in its order."""

    def point(self, alpha: float, beta: float, *, tick: Callable[[], object]) -> Measured:
        """Return the results at theta* + alpha delta + beta eta; call ``tick()`` between batches."""
