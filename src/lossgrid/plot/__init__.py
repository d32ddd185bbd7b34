"""Pictures of surfaces, made without pyplot: no display, no global state, the same bytes every time."""

from lossgrid.plot.figure import KINDS, draw, kinds_of, side_by_side
from lossgrid.plot.output import FORMATS, picture_path, refuse_to_write, save, write_all
from lossgrid.plot.words import title_of

__all__ = [
    "FORMATS",
    "KINDS",
    "draw",
    "kinds_of",
    "picture_path",
    "refuse_to_write",
    "save",
    "side_by_side",
    "title_of",
    "write_all",
]
