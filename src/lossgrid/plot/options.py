"""What a user wants of a picture: one frozen value, made at the command line."""

from __future__ import annotations

from dataclasses import dataclass

from lossgrid.errors import InputError
from lossgrid.plot.scale import ScaleOptions

KINDS = ("line", "contourf", "contour", "heat", "surface")
STYLES = ("plain", "paper")
WITHOUT_POINTS = ("surface",)  # what is behind hides them


@dataclass(frozen=True, kw_only=True)
class PictureOptions(ScaleOptions):
    """The options of a picture: those of its scale, and these.

    Attributes:
        kind: One of ``KINDS``; None for the first that fits the surfaces.
        metric: The quantity to draw, such as ``test_loss``; None for the first loss, for lines all quantities.
        band: Whether lines with the same label become one: their mean in the band from lowest to highest.
        exact: Whether contours and reliefs are straight between points, instead of smooth through them.
        style: One of ``STYLES``: ``plain``, or ``paper`` as in figures 1 and 5 of Li et al. 2018: contour lines with
            labels and without a colour bar, reliefs without axes.
        points: Whether a dot marks each computed point of a flat plane; lines always have them.
    """

    kind: str | None = None
    metric: str | None = None
    band: bool = False
    exact: bool = False
    style: str = "plain"
    points: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.style not in STYLES:
            raise InputError(f"--style must be one of {', '.join(STYLES)}, got {self.style!r}")


DEFAULTS = PictureOptions()
