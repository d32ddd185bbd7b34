"""Which points are computed next: plans, which live on rank 0 and depend on nothing but what the surface holds."""

from lossgrid.sampling.everything import Everything
from lossgrid.sampling.plan import Plan

__all__ = ["Everything", "Plan"]
