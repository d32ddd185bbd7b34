"""Pictures of surfaces, made without pyplot: no display, no global state, the same bytes every time."""

from lossgrid.plot.figure import compose, draw, kinds_of, side_by_side
from lossgrid.plot.labels import title_of
from lossgrid.plot.options import KINDS, STYLES, PictureOptions, options_of
from lossgrid.plot.output import FORMATS, picture_path, refuse_dpi, refuse_to_write, save, write_all

__all__ = [
    "FORMATS",
    "KINDS",
    "STYLES",
    "PictureOptions",
    "compose",
    "draw",
    "kinds_of",
    "options_of",
    "picture_path",
    "refuse_dpi",
    "refuse_to_write",
    "save",
    "side_by_side",
    "title_of",
    "write_all",
]
