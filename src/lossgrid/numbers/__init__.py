"""Numbers that describe a surface; their definitions and sources are in docs/metrics.md."""

from lossgrid.numbers.basin import area, sharpness, width
from lossgrid.numbers.definition import Definition, Number, Subject
from lossgrid.numbers.envelope import Deviation, convexity
from lossgrid.numbers.landscape import Bound, Landscape, of_arrays, of_surface
from lossgrid.numbers.level import Level
from lossgrid.numbers.measured import Measured, measure
from lossgrid.numbers.middle import centre
from lossgrid.numbers.persistence import THRESHOLD, Minimum, minima, persistent
from lossgrid.numbers.registry import NUMBERS
from lossgrid.numbers.users import given
from lossgrid.numbers.variation import negative_curvature, roughness

__all__ = [
    "NUMBERS",
    "THRESHOLD",
    "Bound",
    "Definition",
    "Deviation",
    "Landscape",
    "Level",
    "Measured",
    "Minimum",
    "Number",
    "Subject",
    "area",
    "centre",
    "convexity",
    "given",
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
