"""All numbers of a surface, in the order in which ``lossgrid compare`` prints them."""

from __future__ import annotations

from lossgrid.numbers import basin, envelope, extent, middle, persistence, variation
from lossgrid.numbers.definition import Definition

NUMBERS: tuple[Definition, ...] = (
    extent.POINTS,
    extent.LEFT_OUT,
    middle.CENTRE,
    basin.SHARPNESS,
    basin.WIDTH,
    basin.WIDTH_ALPHA,
    basin.WIDTH_BETA,
    basin.AREA,
    variation.ROUGHNESS,
    variation.NEGATIVE_CURVATURE,
    envelope.CONVEXITY_MEAN,
    envelope.CONVEXITY_LARGEST,
    persistence.MINIMA,
    persistence.MINIMA_ON_BORDER,
)
