"""Plans: the order in which points are computed. A plan lives on rank 0 and depends only on the surface.

:class:`lossgrid.parallel.Plan` is the protocol of a plan.
"""

from lossgrid.sampling.everything import Everything
from lossgrid.sampling.refine import ROUNDS, Picture, Refine
from lossgrid.sampling.ruler import Tolerance
from lossgrid.sampling.whole import completed

__all__ = ["ROUNDS", "Everything", "Picture", "Refine", "Tolerance", "completed"]
