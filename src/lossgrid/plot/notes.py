"""Notes on pictures: caveats of the surfaces, in small print outside of the axes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure

from lossgrid.plot.labels import plain
from lossgrid.surface import Surface
from lossgrid.surface.caveats import caveats_of
from lossgrid.wording import one_line

COLOUR, GREY = "#8C3B1A", "0.45"  # red-brown; of remarks
SIZE = 6.5  # points
LINE, MARGIN = 0.125, 0.06  # inches
CHARACTER = 0.049  # inches, mean width of a character
MOST_LINES = 8
LABEL, LABELS = 40, 100  # characters of a label, and of all labels of a note


def notes_of(surfaces: Sequence[Surface], labels: Sequence[str], *, width: float) -> list[str]:
    """Return the caveats of ``surfaces`` as lines that fit the width of a figure.

    Args:
        surfaces: What is drawn.
        labels: A label for each, written before its notes if there are several surfaces.
        width: Width of the figure in inches.
    """
    concerned: dict[str, list[str]] = {}
    for surface, label in zip(surfaces, labels, strict=True):
        for note in caveats_of(surface):
            concerned.setdefault(note, []).append(one_line(label, LABEL))
    lines = []
    for note, names in concerned.items():
        owners = "all" if len(names) == len(surfaces) else one_line(", ".join(dict.fromkeys(names)), LABELS)
        lines += textwrap.wrap(note if len(surfaces) == 1 else f"{owners}: {note}", int(width / CHARACTER))
    left_out = len(lines) - MOST_LINES
    return lines if left_out <= 0 else [*lines[: MOST_LINES - 1], f"and {left_out + 1} more lines of notes"]


def room_for(notes: Sequence[str]) -> float:
    """Return the height of the notes in inches."""
    return LINE * len(notes) + 2 * MARGIN if notes else 0.0


def write_notes(figure: Figure, notes: Sequence[str], *, at_top: bool, remark: str = "") -> None:
    """Write the notes, and in grey a remark below them, at the top or the bottom of ``figure``.

    There must be :func:`room_for` all of them.
    """
    height, shown = figure.get_figheight(), [*notes, remark] if remark else list(notes)
    top = height - MARGIN if at_top else room_for(shown) - MARGIN
    for lines, colour in ((notes, COLOUR), ([remark], GREY)):
        if not any(lines):
            continue
        figure.text(
            0.08 / figure.get_figwidth(), top / height, "\n".join(plain(line, len(line)) for line in lines),
            fontsize=SIZE, color=colour, ha="left", va="top", linespacing=1.2,
        )  # fmt: skip
        top -= LINE * len(lines)
