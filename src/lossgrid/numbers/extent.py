"""How many points a surface has, and of how many of them nothing is known."""

from __future__ import annotations

from lossgrid.numbers.definition import Definition

POINTS = Definition("points", "points", lambda of: int(of.land.values.size), units="points")
LEFT_OUT = Definition("left_out", "points left out", lambda of: of.land.left_out, units="points")
