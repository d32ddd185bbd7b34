"""The figure of all pictures; it shows itself in a notebook."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class Picture(Figure):
    """A figure that a notebook shows as the result of a cell, once, whether pyplot is loaded or not.

    pyplot does not know it: no backend shows it a second time.
    """

    def _repr_png_(self) -> bytes:
        """Return the figure as PNG, for IPython."""
        picture = io.BytesIO()
        self.savefig(picture, format="png", bbox_inches="tight")
        return picture.getvalue()
