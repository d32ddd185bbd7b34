"""Lines L(theta* + alpha delta): losses and accuracies of one network on two axes, otherwise a panel per kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullFormatter, PercentFormatter

from lossgrid.errors import InputError
from lossgrid.plot.coordinates import DrawnAxis, are_alike, drawn_axis
from lossgrid.plot.labels import ALPHA, plain, text_of, with_unit
from lossgrid.plot.legend import BAND, LABEL, entry, named, with_band
from lossgrid.plot.levels import power_of
from lossgrid.plot.marks import Mark, draw_marks_of_line
from lossgrid.plot.notes import notes_of, room_for, write_notes
from lossgrid.plot.options import PictureOptions
from lossgrid.plot.picture import Picture
from lossgrid.plot.scale import FAR, Scale, ScaleOptions, choose_scale
from lossgrid.plot.trace import Trace, few_of, mean_of, thinned, thinned_marks
from lossgrid.surface import Quantity, Surface
from lossgrid.surface.quantity import in_order

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
LOSS, ACCURACY = "#004C78", "#D98C00"  # on two axes; they differ in grey too
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH, LOSS_HEIGHT, LOWER_HEIGHT = 5.4, 3.0, 1.6  # inches
HEADING = 72  # characters of title and note together, up to which they share a line
DOTTED = 2_000  # points; on longer lines not every point has a dot


def draw_lines(
    surfaces: Sequence[Surface],
    labels: Sequence[str],
    options: PictureOptions,
    *,
    title: str,
) -> Picture:
    """Draw lines into one figure, with a dash per split.

    A single label with two kinds of quantities has losses on the left axis and accuracies on the right, as in figures
    2 and 3 of Li et al. 2018. Several labels have a colour each, and each kind a panel: losses, accuracies, others.

    Args:
        surfaces: The lines.
        labels: A label for each.
        options: Those of the picture; the scale is that of the first panel, mostly the losses.
        title: Text above.

    Raises:
        InputError: A surface lacks the metric, or lines of a band differ in alpha.
    """
    pairs = zip(surfaces, labels, strict=True)
    traces = _by_label(surfaces, labels) if options.band else [Trace(label, (surface,)) for surface, label in pairs]
    panels = panels_of(surfaces, options.metric)
    notes = notes_of(surfaces, labels, width=options.size[0] if options.size else WIDTH)
    draw = _on_two_axes if len(traces) == 1 and len(panels) == 2 else _in_panels
    figure = draw(traces, panels, options, room_for(notes))
    write_notes(figure, notes, at_top=True)
    _write_heading(
        figure.axes[0], plain(title), _missing(traces, [one.name for quantities in panels for one in quantities])
    )
    return figure


def _missing(traces: Sequence[Trace], names: Sequence[str]) -> str:
    """Return how many points have no value, as text; of several traces each."""
    notes = [trace.missing(names) for trace in traces]
    if len(traces) > 1:
        notes = [f"{trace.label}: {note}" for trace, note in zip(traces, notes, strict=True) if note]
    return plain("; ".join(notes))


def _write_heading(axes: Axes, title: str, note: str) -> None:
    """Write the title on the left and the note on the right, one line lower if both are long."""
    below = "\n" if title and note and len(title) + len(note) > HEADING else ""
    axes.set_title(title + below, loc="left")
    axes.set_title(note, loc="right", fontsize="x-small", color="0.4")


def _by_label(surfaces: Sequence[Surface], labels: Sequence[str]) -> list[Trace]:
    """Return a trace for each label, in the order of first appearance."""
    traces = []
    for label in dict.fromkeys(labels):
        own = tuple(surface for surface, other in zip(surfaces, labels, strict=True) if other == label)
        first = own[0].alpha
        for other in own[1:]:
            if not are_alike(first, other.alpha):
                raise InputError(
                    f"a band needs lines of the same alpha: {label!r} has {_span(first)} and {_span(other.alpha)}; "
                    "give them different labels, or leave one out"
                )
        traces.append(Trace(label, own))
    return traces


def _span(alpha: npt.NDArray[np.float64]) -> str:
    return f"{len(alpha)} points from {alpha[0]:g} to {alpha[-1]:g}"


def panels_of(surfaces: Sequence[Surface], metric: str | None) -> list[list[Quantity]]:
    """Return the quantities of each panel: all of one kind, or only ``metric``."""
    chosen = [surface.quantity(metric) for surface in surfaces]
    if metric is not None:
        return [[chosen[0]]]
    every = {name: quantity for surface in surfaces for name, quantity in surface.quantities.items()}
    panels: dict[str, list[Quantity]] = {}
    for quantity in in_order(every.values()):
        panels.setdefault(quantity.kind, []).append(quantity)
    return list(panels.values())


def _on_two_axes(
    traces: Sequence[Trace], panels: list[list[Quantity]], options: PictureOptions, room: float
) -> Picture:
    """Draw the losses of one trace on the left axis and its accuracies on the right, in the colours of the axes."""
    figure = _frame(LOSS_HEIGHT + 0.9, room, options.size)
    left = figure.subplots()
    handles, texts = fill_two(left, traces, panels, options)
    left.grid(axis="y")
    share_alpha([left], traces, options.marks)
    # Below the axes: inside them a legend would cover lines.
    handles, texts = with_band(handles, texts, traces)
    figure.legend(handles, texts, loc="outside lower center", ncols=math.ceil(len(texts) / 2), frameon=False)
    return figure


def fill_two(
    left: Axes, traces: Sequence[Trace], panels: list[list[Quantity]], options: ScaleOptions
) -> tuple[list[Any], list[str]]:
    """Draw one trace on ``left`` and on a twin at its right; return the entries of a legend."""
    handles: list[Any] = []
    texts: list[str] = []
    for axes, quantities, colour in zip((left, left.twinx()), panels, (LOSS, ACCURACY), strict=True):
        fill(axes, traces, quantities, options if axes is left else ScaleOptions(), colour=colour)
        axes.yaxis.label.set_color(colour)
        axes.tick_params(axis="y", colors=colour)
        own, _ = axes.get_legend_handles_labels()
        handles += own
        texts += [plain(text_of(one.name)) for one in quantities if traces[0].has(one.name)]
    return handles, texts


def _in_panels(traces: Sequence[Trace], panels: list[list[Quantity]], options: PictureOptions, room: float) -> Picture:
    """Draw a panel for each kind of quantity; the first is the highest."""
    heights = [LOSS_HEIGHT, *[LOWER_HEIGHT] * (len(panels) - 1)]
    figure = _frame(sum(heights) + 0.6, room, options.size)
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0].tolist()
    for axes, quantities in zip(all_axes, panels, strict=True):
        fill(axes, traces, quantities, options if axes is all_axes[0] else ScaleOptions())
        axes.grid(axis="y")
    share_alpha(all_axes, traces, options.marks)
    handles, texts = all_axes[0].get_legend_handles_labels()
    if len(handles) > 1 or any(trace.has_band for trace in traces):
        legend = all_axes[0].legend(*with_band(*named(handles, texts), traces), frameon=False)
        legend.set_in_layout(False)  # it lies inside the axes: the layout must leave no room for it
    return figure


def _frame(height: float, room: float, size: tuple[float, float] | None) -> Picture:
    """Return an empty figure with room for notes at its top; heights, and the size if that is given, in inches."""
    width, whole = size or (WIDTH, height + room)
    figure = Picture(figsize=(width, whole))
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=(0, 0, 1, max(0.5, 1 - room / whole))))
    return figure


def fill(
    axes: Axes, traces: Sequence[Trace], quantities: list[Quantity], options: ScaleOptions, *, colour: str | None = None
) -> None:
    """Draw ``quantities``, all of one kind, of all traces that have them.

    All lines have ``colour``; without it, a colour per trace, or per split if there is one trace.
    """
    several = len(traces) > 1
    values = np.concatenate(
        [
            surface[one.name]
            for trace in traces
            for surface in trace.surfaces
            for one in quantities
            if one.name in surface.quantities
        ]
    )
    first = quantities[0]
    scale = choose_scale(values, options, by_factors=first.varies == "by factors")
    power = _power(traces)
    for number, trace in enumerate(traces):
        for split, one in enumerate(quantities):
            if trace.has(one.name):
                _draw_one(
                    axes, trace, one.name,
                    scale=scale,
                    alpha=drawn_axis(trace.alpha, ALPHA, power=power),
                    colour=colour or COLOURS[(number if several else split) % len(COLOURS)],
                    dash=DASHES[split % len(DASHES)],
                    marker=MARKERS[number % len(MARKERS)] if several else None,
                    label=plain(entry(trace.label, one, several=several, alone=len(quantities) == 1), LABEL),
                )  # fmt: skip
    _set_scale(axes, scale)
    low, high = scale.limits
    if first.is_share and scale.power == 0:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        if not ((values < 0) | (values > 1)).any():
            low, high = (0.0 if options.vmin is None else low), (1.0 if options.vmax is None else high)
    margin = 0.04 * (high - low)
    bottom = low - margin * (not scale.below)
    top = high + margin * (not scale.above)
    axes.set_ylim(*((scale.value(bottom), scale.value(top)) if _has_log_axis(scale) else (bottom, top)))
    surfaces = [surface for trace in traces for surface in trace.surfaces]
    text = text_of(first.name if len(quantities) == 1 else first.kind)
    axes.set_ylabel(plain(with_unit(text, first, surfaces)))


def _has_log_axis(scale: Scale) -> bool:
    """Return whether matplotlib takes the logarithms, on a logarithmic axis of its own."""
    return scale.log and scale.is_plain


def _set_scale(axes: Axes, scale: Scale) -> None:
    """Set scale and ticks of the vertical axis; a plain linear axis needs none."""
    if _has_log_axis(scale):
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    if scale.log or not scale.is_plain:
        ticks = scale.ticks()
        transformed = scale.transform(ticks).filled()
        axes.set_yticks(ticks if _has_log_axis(scale) else transformed, [scale.write(tick) for tick in transformed])


def _power(traces: Sequence[Trace]) -> int:
    """Return the power of ten that alpha is divided by; mostly 0."""
    return power_of(min(float(trace.alpha[0]) for trace in traces), max(float(trace.alpha[-1]) for trace in traces))


def share_alpha(all_axes: Sequence[Axes], traces: Sequence[Trace], marks: Sequence[Mark] = ()) -> None:
    """Set the alpha range of all panels to that of the lines; draw a hairline at theta*, and at the marks."""
    ends = np.array([min(trace.alpha[0] for trace in traces), max(trace.alpha[-1] for trace in traces)])
    alpha = drawn_axis(ends, ALPHA)
    first, last = alpha.limits
    if first < last:
        all_axes[-1].set_xlim(first, last)
    if alpha.holds_zero:
        for axes in all_axes:
            axes.axvline(0, color="0.6", linewidth=0.6, zorder=0)
    draw_marks_of_line(all_axes[0], alpha, marks)
    all_axes[-1].set_xlabel(alpha.label)


def _draw_one(
    axes: Axes, trace: Trace, name: str, *, scale: Scale, alpha: DrawnAxis, colour: str, dash: str, marker: str | None,
    label: str,
) -> None:  # fmt: skip
    """Draw one line with its error bars, or the mean of several in their band; crosses at the top are not finite.

    Every computed point has a dot. Long lines, and lines identified by a marker, have a few markers only. A point
    between two gaps always has one.
    """
    curves = np.stack([mean_of(trace.values(name)), *trace.band(name)])
    # On a logarithmic axis matplotlib overflows with values far above the limit, and has no place for those below 0.
    curves = _within(curves, scale) if _has_log_axis(scale) else scale.transform(curves).filled(np.nan)
    coordinates, mean, lowest, highest = thinned(alpha.coordinates, *curves)
    if trace.has_band:
        axes.fill_between(coordinates, lowest, highest, color=colour, alpha=BAND, linewidth=0, zorder=1.5)
    if marker is None and len(mean) <= DOTTED:
        marked = [int(i) for i in np.flatnonzero(~trace.interpolated)]
    else:
        marked = few_of(mean, regular=marker is not None)
    axes.plot(
        coordinates, mean, linestyle=dash, color=colour, linewidth=1.4, label=label, marker=marker or ".",
        markersize=3.5, markevery=marked,
    )  # fmt: skip
    broken = trace.broken(name)
    if broken.any():
        crosses = thinned_marks(alpha.coordinates[broken])
        axes.plot(
            crosses, np.ones(len(crosses)), "x", color=colour, markersize=5,
            markeredgewidth=1.2, transform=axes.get_xaxis_transform(), clip_on=False, zorder=5,
        )  # fmt: skip


def _within(curves: npt.NDArray[np.float64], scale: Scale) -> npt.NDArray[np.float64]:
    """Return a mean with its band, limited to what a logarithmic axis can show."""
    curves = np.minimum(curves, scale.high * FAR)
    curves[1:] = np.maximum(curves[1:], min(scale.low / FAR, curves[0][curves[0] > 0].min(initial=scale.low)))
    return curves
