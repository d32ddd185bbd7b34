"""What a user wants of a picture: one frozen value, made at the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from lossgrid.errors import InputError, shown
from lossgrid.plot.camera import CAMERA, Camera
from lossgrid.plot.fonts import refuse_font
from lossgrid.plot.levels import levels_of
from lossgrid.plot.marks import Mark, marks_of
from lossgrid.plot.scale import ScaleOptions

KINDS = ("line", "contourf", "contour", "heat", "surface")
STYLES = ("plain", "paper")
FLAT = ("points", "marks", "marginals")  # options of flat planes, and marks of lines: a relief would hide them
SMALLEST, LARGEST = 1, 100  # inches


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
        cmap: The name of a colour map of matplotlib; None for viridis.
        colorbar: Whether there is a colour bar.
        size: Width and height of the figure in inches; None for what fits.
        font: The family of the font; None for that of matplotlib.
        font_size: In points; None for 9, or what the user has set.
        marks: Points of a plane, or coordinates of a line, that are marked.
        marginals: Whether the lines through the centre are drawn beside a flat plane.
        elev: Of a relief, degrees above the plane from which it is seen.
        azim: Degrees around it, counted from the alpha axis.
        zoom: Size of a relief; 1 fills its panel.
        points: Whether a dot marks each computed point of a flat plane; lines always have them.
    """

    kind: str | None = None
    metric: str | None = None
    band: bool = False
    exact: bool = False
    style: str = "plain"
    cmap: str | None = None
    colorbar: bool = True
    size: tuple[float, float] | None = None
    font: str | None = None
    font_size: float | None = None
    marks: tuple[Mark, ...] = ()
    marginals: bool = False
    elev: float = CAMERA.elev
    azim: float = CAMERA.azim
    zoom: float = CAMERA.zoom
    points: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.style not in STYLES:
            raise InputError(f"--style must be one of {', '.join(STYLES)}, got {self.style!r}")
        if self.size is not None and not all(SMALLEST <= side <= LARGEST for side in self.size):
            raise InputError(f"--size must be from {SMALLEST} to {LARGEST} inches each, got {self.size}")
        if self.font_size is not None and not 1 <= self.font_size <= 100:
            raise InputError(f"--font-size must be from 1 to 100 points, got {self.font_size}")
        if self.font is not None:
            refuse_font(self.font)
        Camera(self.elev, self.azim, self.zoom)

    @property
    def camera(self) -> Camera:
        """From where a relief is seen."""
        return Camera(self.elev, self.azim, self.zoom)


def options_of(**given: Any) -> PictureOptions:
    """Return options from what a user gives: texts of levels, marks and sizes are read.

    Raises:
        InputError: There is no such option, or it cannot have this value.
    """
    names = [one.name for one in fields(PictureOptions)]
    if unknown := [name for name in given if name not in names]:
        raise InputError(f"a picture has no option {unknown[0]!r}; it has {', '.join(sorted(names))}")
    readers = {"levels": levels_of, "marks": marks_of, "size": size_of}
    read = {name: readers[name](value) for name, value in given.items() if name in readers and value is not None}
    return PictureOptions(**given | read)


def for_relief(options: PictureOptions) -> PictureOptions:
    """Return options without those that do not fit a relief."""
    return replace(options, points=False, marks=(), marginals=False)


def size_of(given: str | Sequence[float]) -> tuple[float, float]:
    """Return the size of a figure: ``7x5``, in inches, or a pair of numbers.

    Raises:
        InputError: It is neither.
    """
    try:
        width, height = map(float, given.split("x") if isinstance(given, str) else given)
    except (ValueError, TypeError):
        raise InputError(f"--size: expected WIDTHxHEIGHT in inches, such as 7x5, got {shown(given)}") from None
    return width, height


DEFAULTS = PictureOptions()
