"""What a user wants of a picture: one frozen value, made at the command line."""

from __future__ import annotations

from dataclasses import dataclass

from lossgrid.plot.scale import ScaleOptions

KINDS = ("line", "contourf", "contour", "heat", "surface")
WITHOUT_POINTS = ("surface",)  # what is behind hides them


@dataclass(frozen=True, kw_only=True)
class PictureOptions(ScaleOptions):
    """The options of a picture: those of its scale, and these.

    Attributes:
        kind: One of ``KINDS``; None for the first that fits the surfaces.
        metric: The quantity to draw, such as ``test_loss``; None for the first loss, for lines all quantities.
        band: Whether lines with the same label become one: their mean in the band from lowest to highest.
        points: Whether a dot marks each computed point of a flat plane; lines always have them.
    """

    kind: str | None = None
    metric: str | None = None
    band: bool = False
    points: bool = False


DEFAULTS = PictureOptions()
