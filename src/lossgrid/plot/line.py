"""Lines L(theta* + alpha delta): losses and accuracies of one network on two axes, else a panel for each kind."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullFormatter, PercentFormatter

from lossgrid.errors import InputError
from lossgrid.plot.coordinates import Drawn, are_alike, drawn
from lossgrid.plot.legend import BAND, LABEL, entry, named, with_band
from lossgrid.plot.notes import notes_of, room_for, write_notes
from lossgrid.plot.scale import FAR, Scale, ScaleOptions, choose_scale, power_of
from lossgrid.plot.trace import Trace, mean_of, thinned, thinned_marks
from lossgrid.plot.words import ALPHA, plain, with_unit, words_of
from lossgrid.surface import Quantity, Surface
from lossgrid.surface.quantity import in_order

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
LOSS, ACCURACY = "#004C78", "#D98C00"  # on two axes: dark and light also in grey
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MARKED = 16  # about how many points are marked of a line that its markers tell from others
WIDTH, LOSS_HEIGHT, LOWER_HEIGHT = 5.4, 3.0, 1.6  # inches
HEADING = 72  # characters of a title and a note that stand on one line
DOTTED = 2_000  # points up to which each has a dot


def draw_lines(
    surfaces: Sequence[Surface],
    labels: Sequence[str],
    *,
    metric: str | None,
    options: ScaleOptions,
    title: str,
    band: bool = False,
) -> Figure:
    """Draw lines into one figure, with a dash per split.

    What has one name alone, and two kinds of quantities, has its losses on the left axis and its accuracies on the
    right, as figures 2 and 3 of Li et al. 2018. Of several names each has a colour, and each kind a panel: losses,
    accuracies below them, then others.

    Args:
        surfaces: The lines.
        labels: Their names, one each.
        metric: The only quantity to draw; None for all of them.
        options: The scale of the losses.
        title: Text above.
        band: Draw lines of the same name, such as those of several seeds, as their mean in the band of their range.

    Raises:
        InputError: A surface has no such quantity, or lines of one name differ in alpha.
    """
    pairs = zip(surfaces, labels, strict=True)
    traces = _by_name(surfaces, labels) if band else [Trace(label, (surface,)) for surface, label in pairs]
    panels = _panels(surfaces, metric)
    notes = notes_of(surfaces, labels, width=WIDTH)
    draw = _on_two_axes if len(traces) == 1 and len(panels) == 2 else _in_panels
    figure = draw(traces, panels, options, room_for(notes))
    write_notes(figure, notes, at_top=True)
    _write_heading(
        figure.axes[0], plain(title), _missing(traces, [one.name for quantities in panels for one in quantities])
    )
    return figure


def _missing(traces: Sequence[Trace], names: Sequence[str]) -> str:
    """Count the points without a value, of several traces of each."""
    notes = [trace.missing(names) for trace in traces]
    if len(traces) > 1:
        notes = [f"{trace.label}: {note}" for trace, note in zip(traces, notes, strict=True) if note]
    return plain("; ".join(notes))


def _write_heading(axes: Axes, title: str, note: str) -> None:
    """Write the title on the left and the note on the right, below it where both are long."""
    below = "\n" if title and note and len(title) + len(note) > HEADING else ""
    axes.set_title(title + below, loc="left")
    axes.set_title(note, loc="right", fontsize="x-small", color="0.4")


def _by_name(surfaces: Sequence[Surface], labels: Sequence[str]) -> list[Trace]:
    """Put lines of the same name together, in the order in which names come first."""
    traces = []
    for label in dict.fromkeys(labels):
        own = tuple(surface for surface, name in zip(surfaces, labels, strict=True) if name == label)
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


def _panels(surfaces: Sequence[Surface], metric: str | None) -> list[list[Quantity]]:
    """Return the quantities of each panel: those of one kind, or the only one asked for."""
    chosen = [surface.quantity(metric) for surface in surfaces]
    if metric is not None:
        return [[chosen[0]]]
    every = {name: quantity for surface in surfaces for name, quantity in surface.quantities.items()}
    panels: dict[str, list[Quantity]] = {}
    for quantity in in_order(every.values()):
        panels.setdefault(quantity.kind, []).append(quantity)
    return list(panels.values())


def _on_two_axes(traces: Sequence[Trace], panels: list[list[Quantity]], options: ScaleOptions, room: float) -> Figure:
    """Draw losses of one trace on the left axis and accuracies on the right, each in the colour of its axis."""
    figure = _frame(LOSS_HEIGHT + 0.9, room)
    left = figure.subplots()
    handles, texts = [], []
    for axes, quantities, colour in zip((left, left.twinx()), panels, (LOSS, ACCURACY), strict=True):
        _fill(axes, traces, quantities, options if axes is left else ScaleOptions(), colour=colour)
        axes.yaxis.label.set_color(colour)
        axes.tick_params(axis="y", colors=colour)
        own, _ = axes.get_legend_handles_labels()
        handles += own
        texts += [plain(words_of(one.name)) for one in quantities if traces[0].has(one.name)]
    left.grid(axis="y")
    _share_alpha([left], traces)
    # Below the axes, as lines of either axis may run anywhere in them.
    handles, texts = with_band(handles, texts, traces)
    figure.legend(handles, texts, loc="outside lower center", ncols=math.ceil(len(texts) / 2), frameon=False)
    return figure


def _in_panels(traces: Sequence[Trace], panels: list[list[Quantity]], options: ScaleOptions, room: float) -> Figure:
    """Draw a panel for each kind of quantity, the first one high."""
    heights = [LOSS_HEIGHT, *[LOWER_HEIGHT] * (len(panels) - 1)]
    figure = _frame(sum(heights) + 0.6, room)
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0].tolist()
    for axes, quantities in zip(all_axes, panels, strict=True):
        _fill(axes, traces, quantities, options if axes is all_axes[0] else ScaleOptions())
        axes.grid(axis="y")
    _share_alpha(all_axes, traces)
    handles, texts = all_axes[0].get_legend_handles_labels()
    if len(handles) > 1 or any(len(trace.surfaces) > 1 for trace in traces):
        legend = all_axes[0].legend(*with_band(*named(handles, texts), traces), frameon=False)
        legend.set_in_layout(False)  # it is within the axes, which must not shrink for it
    return figure


def _frame(height: float, room: float) -> Figure:
    """Make the empty figure, with room for notes at its top; heights are in inches."""
    figure = Figure(figsize=(WIDTH, height + room))
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=(0, 0, 1, height / (height + room))))
    return figure


def _fill(
    axes: Axes, traces: Sequence[Trace], quantities: list[Quantity], options: ScaleOptions, *, colour: str | None = None
) -> None:
    """Draw ``quantities``, all of one kind, of all traces that have them.

    In one colour, or in one per trace, or per split of a single one.
    """
    several = len(traces) > 1
    known = np.concatenate(
        [
            surface[one.name]
            for trace in traces
            for surface in trace.surfaces
            for one in quantities
            if one.name in surface.quantities
        ]
    )
    first = quantities[0]
    scale = choose_scale(known, options, by_factors=first.varies == "by factors")
    power = _power(traces)
    for number, trace in enumerate(traces):
        for split, one in enumerate(quantities):
            if trace.has(one.name):
                _draw_one(
                    axes, trace, one.name,
                    scale=scale,
                    alpha=drawn(trace.alpha, ALPHA, power=power),
                    colour=colour or COLOURS[(number if several else split) % len(COLOURS)],
                    dash=DASHES[split % len(DASHES)],
                    marker=MARKERS[number % len(MARKERS)] if several else None,
                    label=plain(entry(trace.label, one, several=several, alone=len(quantities) == 1), LABEL),
                )  # fmt: skip
    _set_scale(axes, scale)
    low, high = scale.limits
    if first.is_share and scale.power == 0:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        if not ((known < 0) | (known > 1)).any():
            low, high = (0.0 if options.vmin is None else low), (1.0 if options.vmax is None else high)
    margin = 0.04 * (high - low)
    bottom = low - margin * (not scale.below)
    top = high + margin * (not scale.above)
    axes.set_ylim(*((scale.value(bottom), scale.value(top)) if _has_log_axis(scale) else (bottom, top)))
    surfaces = [surface for trace in traces for surface in trace.surfaces]
    words = words_of(first.name if len(quantities) == 1 else first.kind)
    axes.set_ylabel(plain(with_unit(words, first, surfaces)))


def _has_log_axis(scale: Scale) -> bool:
    """Tell whether an axis of matplotlib takes the logarithms, and not we."""
    return scale.log and scale.is_plain


def _set_scale(axes: Axes, scale: Scale) -> None:
    """Let the vertical axis tell values, where those of a plain linear one do not so by themselves."""
    if _has_log_axis(scale):
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    if scale.log or not scale.is_plain:
        ticks = scale.ticks()
        places = scale.place(ticks).filled()
        axes.set_yticks(ticks if _has_log_axis(scale) else places, [scale.write(place) for place in places])


def _power(traces: Sequence[Trace]) -> int:
    """Return the power of ten over which alpha is drawn; mostly 0."""
    return power_of(min(float(trace.alpha[0]) for trace in traces), max(float(trace.alpha[-1]) for trace in traces))


def _share_alpha(all_axes: Sequence[Axes], traces: Sequence[Trace]) -> None:
    """Let all panels span the lines, with a hairline where the trained network is."""
    ends = np.array([min(trace.alpha[0] for trace in traces), max(trace.alpha[-1] for trace in traces)])
    alpha = drawn(ends, ALPHA)
    first, last = alpha.limits
    if first < last:
        all_axes[-1].set_xlim(first, last)
    if alpha.holds_zero:
        for axes in all_axes:
            axes.axvline(0, color="0.6", linewidth=0.6, zorder=0)
    all_axes[-1].set_xlabel(alpha.label)


def _draw_one(
    axes: Axes, trace: Trace, name: str, *, scale: Scale, alpha: Drawn, colour: str, dash: str, marker: str | None,
    label: str,
) -> None:  # fmt: skip
    """Draw one line, or the mean of several in their band, with crosses on top where it is not finite.

    Every point has a small dot; lines of many points, or that markers tell apart, have a few of these instead. A point
    between two gaps always shows.
    """
    values = trace.values(name)
    curves = np.stack([mean_of(values), values.min(axis=0), values.max(axis=0)])
    # On a logarithmic axis matplotlib would overflow with values far above it.
    curves = np.minimum(curves, scale.high * FAR) if _has_log_axis(scale) else scale.place(curves).filled(np.nan)
    places, mean, lowest, highest = thinned(alpha.places, *curves)
    if len(values) > 1:
        axes.fill_between(places, lowest, highest, color=colour, alpha=BAND, linewidth=0, zorder=1.5)
    axes.plot(
        places, mean, linestyle=dash, color=colour, linewidth=1.4, label=label, marker=marker or ".", markersize=3.5,
        markevery=None if marker is None and len(mean) <= DOTTED else _few(mean, regular=marker is not None),
    )  # fmt: skip
    broken = trace.broken(name)
    if broken.any():
        crosses = thinned_marks(alpha.places[broken])
        axes.plot(
            crosses, np.ones(len(crosses)), "x", color=colour, markersize=5,
            markeredgewidth=1.2, transform=axes.get_xaxis_transform(), clip_on=False, zorder=5,
        )  # fmt: skip


def _few(values: npt.NDArray[np.float64], *, regular: bool) -> list[int]:
    """Return which points to mark: those between two gaps, and every so many where ``regular``."""
    known = np.pad(np.isfinite(values), 1)
    marked = known[1:-1] & ~known[:-2] & ~known[2:]
    if regular:
        marked |= np.arange(len(values)) % max(1, round(len(values) / MARKED)) == 0
    return [int(i) for i in np.flatnonzero(marked)]
