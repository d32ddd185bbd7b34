"""Which points are computed next: plans, which live on rank 0 and depend on nothing but what the surface holds.

What a plan is, :class:`lossgrid.parallel.Plan` says.
"""

from lossgrid.sampling.everything import Everything

__all__ = ["Everything"]
