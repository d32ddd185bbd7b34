"""Marks at points of a picture, such as other checkpoints: a ring and a text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from lossgrid.errors import InputError, shown
from lossgrid.plot.coordinates import DrawnAxis
from lossgrid.plot.labels import plain

TEXT = 30  # characters
OFF = 4  # typographic points from the ring to its text


@dataclass(frozen=True)
class Mark:
    """A mark at (alpha, beta); on a line ``beta`` is not used."""

    alpha: float
    beta: float = 0.0
    text: str = ""


def marks_of(given: Iterable[str | Mark | Sequence[Any]]) -> tuple[Mark, ...]:
    """Return the marks of texts such as ``0.5,-0.2=epoch 30``, or of sequences ``(alpha, beta, text)``.

    >>> marks_of(["0.5,-0.2=epoch 30", (1, 0)])
    (Mark(alpha=0.5, beta=-0.2, text='epoch 30'), Mark(alpha=1.0, beta=0.0, text=''))

    Raises:
        InputError: One is none of these.
    """
    return tuple(_mark(one) for one in given)


def _mark(given: str | Mark | Sequence[Any]) -> Mark:
    if isinstance(given, Mark):
        return given
    try:
        if isinstance(given, str):
            place, _, text = given.partition("=")
            alpha, _, beta = place.partition(",")
            found = Mark(float(alpha), float(beta or 0), text)
        else:
            alpha, beta, text = (*given, "")[:3]
            found = Mark(float(alpha), float(beta), str(text))
    except (TypeError, ValueError):
        found = Mark(math.nan)
    if not (math.isfinite(found.alpha) and math.isfinite(found.beta)):
        raise InputError(f"--mark: expected ALPHA,BETA=TEXT such as 0.5,-0.2=epoch 30, got {shown(given)}")
    return found


def draw_marks(axes: Axes, alpha: DrawnAxis, beta: DrawnAxis, marks: Iterable[Mark], *, on_white: bool) -> None:
    """Draw marks into a plane; those outside of it are left out."""
    ink, halo = ("black", "white") if on_white else ("white", "black")
    outline = [withStroke(linewidth=2, foreground=halo, alpha=0.7)]
    for mark in marks:
        x, y = mark.alpha / 10.0**alpha.power, mark.beta / 10.0**beta.power
        if alpha.limits[0] <= x <= alpha.limits[1] and beta.limits[0] <= y <= beta.limits[1]:
            axes.plot(
                x, y, "o", mfc="none", color=ink, markersize=5, markeredgewidth=1.1, path_effects=outline, zorder=6
            )
            axes.annotate(
                plain(mark.text, TEXT), (x, y), (OFF, OFF), textcoords="offset points", color=ink, fontsize="small",
                path_effects=outline, zorder=6,
            )  # fmt: skip


def draw_marks_of_line(axes: Axes, alpha: DrawnAxis, marks: Iterable[Mark]) -> None:
    """Draw marks into a line: hairlines, with their texts at the top."""
    for mark in marks:
        x = mark.alpha / 10.0**alpha.power
        if alpha.limits[0] <= x <= alpha.limits[1]:
            axes.axvline(x, color="0.45", linewidth=0.7, linestyle=(0, (3, 2)), zorder=0.5)
            axes.annotate(
                plain(mark.text, TEXT), (x, 1), (2, -2), xycoords=axes.get_xaxis_transform(),
                textcoords="offset points", rotation=90, va="top", color="0.35", fontsize="x-small",
            )  # fmt: skip
