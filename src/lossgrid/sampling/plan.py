"""What a plan of points is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from lossgrid.surface import Work


class Plan(Protocol):
    """Says which points are computed next, and hears what came of them.

    It depends on values alone, never on which rank computed a point, or when: so the surface does not either.
    """

    @property
    def remaining(self) -> int:
        """Number of points that have not been given away, as far as it is known."""

    @property
    def is_over(self) -> bool:
        """Tell whether there will be no more points to give away."""

    def ask(self, at_most: int) -> Work | None:
        """Give away up to ``at_most`` points, at least one; None where the next depend on points under way."""

    def tell(self, work: Work, values: npt.NDArray[np.float64]) -> None:
        """Hear the values of points, shape ``(len(work), n_quantities + 1)``, float64, seconds last."""
