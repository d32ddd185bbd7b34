"""The number of points of a surface, and of those without a value."""

from __future__ import annotations

from lossgrid.numbers.definition import Definition

POINTS = Definition("points", "points", lambda of: int(of.land.values.size), units="points")
LEFT_OUT = Definition("left_out", "points left out", lambda of: of.land.left_out, units="points")
