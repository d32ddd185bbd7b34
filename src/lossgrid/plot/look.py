"""How all panels of a figure show their planes: quantity, scale, colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.colors import Colormap, ListedColormap

from lossgrid.errors import InputError, did_you_mean, shown
from lossgrid.plot.interpolation import parts_of
from lossgrid.plot.labels import clipping
from lossgrid.plot.options import PictureOptions
from lossgrid.plot.scale import Scale, choose_scale
from lossgrid.plot.style import as_published
from lossgrid.surface import Quantity, Surface
from lossgrid.wording import of_shape

GREYS = "0.45", "0.87"  # of values beyond the scale, on its good and on its bad side
RELIEF = 200  # points along an axis of a smooth relief


@dataclass(frozen=True)
class Look:
    """The look of planes on one scale.

    Attributes:
        kind: The kind of picture, one of planes.
        quantity: The quantity that is drawn.
        scale: The scale of its values.
        colours: The colours along the scale, and beyond its ends.
        options: Those of the picture.
    """

    kind: str
    quantity: Quantity
    scale: Scale
    colours: Colormap
    options: PictureOptions

    @property
    def is_paper(self) -> bool:
        """Whether the style is that of the paper."""
        return self.options.style == "paper"

    @property
    def has_bar(self) -> bool:
        """Whether a colour bar belongs to the picture."""
        return self.options.colorbar and not (self.is_paper and self.kind in ("contour", "surface"))

    def parts(self, surface: Surface) -> int:
        """Return into how many parts each interval of ``surface`` is divided for drawing; 1 for straight lines."""
        if self.options.exact or self.kind == "heat":
            return 1
        return parts_of(surface.shape, *([RELIEF] if self.kind == "surface" else []))

    def remark(self, surfaces: Sequence[Surface]) -> str:
        """Return a remark: the points that smooth pictures are drawn through, what a missing colour bar would say."""
        shapes = [of_shape(reversed(surface.shape)) for surface in surfaces if self.parts(surface) > 1]
        smooth = f"drawn through {' and '.join(dict.fromkeys(shapes))} points" if shapes else ""
        clipped = "" if self.has_bar else clipping(self.scale).strip()
        return "; ".join(filter(None, (smooth, clipped)))


def look_of(surfaces: Sequence[Surface], options: PictureOptions) -> Look:
    """Return the look of planes on one scale; ``options`` have a kind of planes."""
    kind = options.kind
    assert kind is not None
    quantity = surfaces[0].quantity(options.metric)
    values = np.concatenate([surface[quantity.name].ravel() for surface in surfaces])
    by_factors = quantity.varies == "by factors"
    is_published = options.style == "paper" and kind == "contour" and by_factors
    scale = choose_scale(values, as_published(options, values) if is_published else options, by_factors=by_factors)
    return Look(kind, quantity, scale, _colours(quantity, kind, options.cmap), options)


def _colours(quantity: Quantity, kind: str, name: str | None) -> Colormap:
    """Return a colour map, by default viridis, whose dark end is at good values; grey beyond its ends.

    Lines on white have viridis without its pale end.

    Raises:
        InputError: There is no such colour map.
    """
    if name is not None and name not in matplotlib.colormaps:
        raise InputError(
            f"--cmap: matplotlib has no colour map {shown(name)}{did_you_mean(name, matplotlib.colormaps, most=3)}"
        )
    is_good_high = quantity.better == "higher"
    share = np.linspace(0, 0.87 if kind == "contour" and name is None else 1, 256)
    under, over = reversed(GREYS) if is_good_high else GREYS
    colours = ListedColormap(matplotlib.colormaps[name or "viridis"](share[::-1] if is_good_high else share))
    return colours.with_extremes(under=under, over=over)
