"""One surface drawn into axes of the user; size, style and layout of the figure remain the user's."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.axes import Axes

from lossgrid.errors import InputError
from lossgrid.plot.labels import missing, plain
from lossgrid.plot.legend import with_band
from lossgrid.plot.line import fill, fill_two, panels_of, share_alpha
from lossgrid.plot.look import look_of
from lossgrid.plot.options import PictureOptions
from lossgrid.plot.panels import add_bar, fill_panel, write_note
from lossgrid.plot.trace import Trace
from lossgrid.surface import Surface
from lossgrid.surface.caveats import caveats_of

NOTE = 44  # characters of a line of notes


def is_solid(axes: Any) -> bool:
    """Return whether ``axes`` are of the projection ``3d``.

    Raises:
        InputError: They are no axes of matplotlib.
    """
    if not isinstance(axes, Axes):
        raise InputError(f"ax: expected one pair of axes of matplotlib, got {type(axes).__name__}")
    return axes.name == "3d"


def refuse_other_axes(axes: Any, kind: str) -> None:
    """Refuse axes that do not fit the kind of picture.

    Raises:
        InputError: The kind is a relief and the axes are flat, or the reverse.
    """
    if (kind == "surface") != is_solid(axes):
        needed = "axes of projection '3d'" if kind == "surface" else "flat axes"
        raise InputError(f"ax: kind {kind!r} needs {needed}, got those of projection {axes.name!r}; give other axes")


def draw_into(axes: Any, surface: Surface, options: PictureOptions, *, title: str) -> None:
    """Draw ``surface`` into ``axes``; their scales, limits, labels and title are set.

    Args:
        axes: Of the projection ``3d`` for a relief.
        surface: A line or a plane.
        options: Those of the picture, with a kind.
        title: Text above the axes.

    Raises:
        InputError: The surface cannot be drawn with these options, or into one pair of axes.
    """
    remarks = (_line if options.kind == "line" else _plane)(axes, surface, options)
    axes.set_title(plain(title))
    notes = [line for note in caveats_of(surface) for line in textwrap.wrap(note, NOTE)]
    write_note(axes, "\n".join([*remarks, *(plain(note, len(note)) for note in notes)]))


def _line(axes: Axes, surface: Surface, options: PictureOptions) -> list[str]:
    """Draw a line, losses on the left axis and accuracies on a twin at the right; return remarks."""
    traces = [Trace("", (surface,))]
    panels = panels_of([surface], options.metric)
    if len(panels) > 2:
        kinds = ", ".join(plain(quantities[0].kind) for quantities in panels)
        raise InputError(f"ax: one pair of axes has room for two kinds of quantities, got {kinds}; give metric=")
    if len(panels) == 2:
        handles, texts = fill_two(axes, traces, panels, options)
    else:
        fill(axes, traces, panels[0], options)
        handles, texts = axes.get_legend_handles_labels()
    share_alpha([axes], traces, options.marks)
    if len(texts) > 1:
        axes.legend(*with_band(handles, texts, traces), frameon=False)
    return [text] if (text := missing(surface, [one.name for group in panels for one in group])) else []


def _plane(axes: Any, surface: Surface, options: PictureOptions) -> list[str]:
    """Draw a plane with its colour bar; return remarks."""
    look = look_of([surface], options)
    mappable, remarks = fill_panel(axes, surface, look)
    if look.has_bar:
        add_bar(axes.figure, [axes], mappable, look, [surface])
    return [*remarks, remark] if (remark := look.remark([surface])) else remarks
