"""From where a relief is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lossgrid.errors import InputError


@dataclass(frozen=True)
class Camera:
    """A direction and a zoom.

    Attributes:
        elev: Degrees above the plane, from -90 to 90.
        azim: Degrees around it, counted from the alpha axis.
        zoom: Size of the relief; 1 fills its panel.
    """

    elev: float = 32.0
    azim: float = -58.0
    zoom: float = 1.0

    def __post_init__(self) -> None:
        if not -90 <= self.elev <= 90:
            raise InputError(f"--elev must be degrees from -90 to 90, got {self.elev}")
        if not math.isfinite(self.azim):
            raise InputError(f"--azim must be degrees, got {self.azim}")
        if not 0.1 <= self.zoom <= 10:
            raise InputError(f"--zoom must be from 0.1 to 10, got {self.zoom}")


CAMERA = Camera()
