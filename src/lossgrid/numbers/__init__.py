"""Numbers that describe a surface; their definitions and sources are in docs/metrics.md."""

from lossgrid.numbers.basin import Level, area, sharpness, width
from lossgrid.numbers.envelope import Deviation, convexity
from lossgrid.numbers.landscape import Bound, Landscape, centre, of_arrays, of_surface
from lossgrid.numbers.measured import Measured, Number, measure
from lossgrid.numbers.persistence import THRESHOLD, Minimum, minima, persistent
from lossgrid.numbers.variation import negative_curvature, roughness

__all__ = [
    "THRESHOLD",
    "Bound",
    "Deviation",
    "Landscape",
    "Level",
    "Measured",
    "Minimum",
    "Number",
    "area",
    "centre",
    "convexity",
    "measure",
    "minima",
    "negative_curvature",
    "of_arrays",
    "of_surface",
    "persistent",
    "roughness",
    "sharpness",
    "width",
]
