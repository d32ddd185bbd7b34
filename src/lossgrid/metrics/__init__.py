"""Numbers that describe a surface; their definitions and sources are in docs/metrics.md."""

from lossgrid.metrics.basin import Level, area, sharpness, width
from lossgrid.metrics.envelope import Deviation, convexity
from lossgrid.metrics.landscape import Bound, Landscape, centre, of_arrays, of_surface
from lossgrid.metrics.persistence import THRESHOLD, Minimum, minima, persistent
from lossgrid.metrics.variation import negative_curvature, roughness

__all__ = [
    "THRESHOLD",
    "Bound",
    "Deviation",
    "Landscape",
    "Level",
    "Minimum",
    "area",
    "centre",
    "convexity",
    "minima",
    "negative_curvature",
    "of_arrays",
    "of_surface",
    "persistent",
    "roughness",
    "sharpness",
    "width",
]
