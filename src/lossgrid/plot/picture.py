"""The figure of all pictures; it shows itself in a notebook."""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image  # which matplotlib needs itself


class Picture(Figure):
    """A figure that a notebook shows as the result of a cell, once, whether pyplot is loaded or not.

    pyplot does not know it: no backend shows it a second time.

    Attributes:
        settings: The matplotlib settings it is drawn with, whenever that is: ticks are made when it is drawn.
        fixed: Whether it is saved in its size, instead of cut to what is drawn.
        solid: Whether it shows reliefs.
        drawn_from: The ids of the surfaces it shows; empty if one has none.
    """

    settings: Mapping[Any, Any] = MappingProxyType({})
    fixed = False
    solid = False
    drawn_from: tuple[str, ...] = ()

    def draw(self, renderer: Any) -> None:
        """Draw the figure with its own settings."""
        # Of faces with a missing corner matplotlib projects memory that it never set, and hides the result.
        with matplotlib.rc_context(dict(self.settings)), np.errstate(over="ignore", invalid="ignore"):
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """Return the figure as PNG, for IPython."""
        picture = io.BytesIO()
        if self.solid:
            self.finer(self.get_dpi()).save(picture, "PNG")
        else:
            self.savefig(picture, format="png", bbox_inches=None if self.fixed else "tight")
        return picture.getvalue()

    def finer(self, dpi: float) -> Image.Image:
        """Return the figure as pixels, each the mean of four: the edges of the small faces of reliefs would show."""
        drawn = io.BytesIO()
        self.savefig(drawn, format="png", dpi=2 * dpi)
        with Image.open(drawn) as fine:
            pixels: Image.Image = fine.reduce(2)
        return pixels
