"""Lines L(theta* + alpha delta): losses in one panel, accuracies in another below it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter

from lossgrid.plot.scale import ScaleOptions, choose_scale
from lossgrid.plot.words import ALPHA, choose_metric, in_order, is_accuracy, is_loss, missing, quantity, split_of
from lossgrid.store.surface import PENDING, Surface

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
DASHES = ("-", "--", ":", "-.")
WIDTH, LOSS_HEIGHT, ACCURACY_HEIGHT = 5.4, 3.0, 1.6  # inches


def draw_lines(
    surfaces: Sequence[Surface],
    labels: Sequence[str],
    *,
    metric: str | None,
    options: ScaleOptions,
    title: str,
) -> Figure:
    """Draw lines into one figure: a colour per surface and a dash per split, or a colour per split of a single one.

    Args:
        surfaces: The lines.
        labels: What the legend calls them, one each.
        metric: The only metric to draw; None for all losses and accuracies.
        options: The scale of the first panel.
        title: Text above.
    """
    panels = _panels(surfaces, metric)
    heights = [ACCURACY_HEIGHT if is_accuracy(names[0]) and len(panels) > 1 else LOSS_HEIGHT for names in panels]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.6), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0].tolist()
    for axes, names in zip(all_axes, panels, strict=True):
        _fill(axes, surfaces, labels, names, options if axes is all_axes[0] else ScaleOptions())
    _share_alpha(all_axes, surfaces)
    if len(all_axes[0].get_legend_handles_labels()[0]) > 1:
        all_axes[0].legend(frameon=False)
    drawn = [name for names in panels for name in names]
    notes = [missing(surface, [name for name in drawn if name in surface.metrics]) for surface in surfaces]
    if len(surfaces) > 1:
        notes = [f"{label}: {note}" for label, note in zip(labels, notes, strict=True) if note]
    all_axes[0].set_title(title, loc="left")
    all_axes[0].set_title("; ".join(notes), loc="right", fontsize="x-small", color="0.4")
    return figure


def _panels(surfaces: Sequence[Surface], metric: str | None) -> list[list[str]]:
    """Return the metrics of each panel: one metric, or losses and accuracies, or whatever there is."""
    chosen = [choose_metric(surface, metric) for surface in surfaces]
    if metric is not None:
        return [[metric]]
    names = in_order({name for surface in surfaces for name in surface.metrics})
    panels = [[name for name in names if belongs(name)] for belongs in (is_loss, is_accuracy)]
    return [panel for panel in panels if panel] or [[chosen[0]]]


def _fill(
    axes: Axes, surfaces: Sequence[Surface], labels: Sequence[str], names: list[str], options: ScaleOptions
) -> None:
    """Draw ``names`` of all surfaces that have them."""
    several = len(surfaces) > 1
    known = [surface[name] for surface in surfaces for name in names if name in surface.metrics]
    scale = choose_scale(np.concatenate(known), options, is_loss=is_loss(names[0]))
    for number, (surface, label) in enumerate(zip(surfaces, labels, strict=True)):
        for split, name in enumerate(names):
            if name in surface.metrics:
                _draw_one(
                    axes, surface, name,
                    colour=COLOURS[(number if several else split) % len(COLOURS)],
                    dash=DASHES[split % len(DASHES)],
                    label=_legend(label, name, several=several, alone=len(names) == 1),
                )  # fmt: skip
    if scale.log:
        axes.set_yscale("log")
        ticks = scale.ticks()
        axes.set_yticks(ticks, [scale.write(place) for place in scale.place(ticks)])
        axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = scale.limits
    if is_accuracy(names[0]):
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        low, high = (0.0 if options.vmin is None else low), (1.0 if options.vmax is None else high)
    margin = 0.04 * (high - low)
    bottom = low - margin * (not scale.below)
    top = high + margin * (not scale.above)
    axes.set_ylim(scale.value(bottom), scale.value(top))
    axes.set_ylabel(quantity(surfaces, names[0] if len(names) == 1 else names[0].rpartition("_")[2]))
    axes.grid(axis="y")


def _legend(label: str, name: str, *, several: bool, alone: bool) -> str:
    """Name a line by its surface where there are several, and by its split where there is more than one."""
    split = split_of(name) or name
    if not several:
        return split
    return label if alone else f"{label}, {split}"


def _share_alpha(all_axes: Sequence[Axes], surfaces: Sequence[Surface]) -> None:
    """Let all panels span the lines, with a hairline where the trained network is."""
    first = min(float(surface.alpha[0]) for surface in surfaces)
    last = max(float(surface.alpha[-1]) for surface in surfaces)
    if first < last:
        all_axes[-1].set_xlim(first, last)
    if first <= 0 <= last:
        for axes in all_axes:
            axes.axvline(0, color="0.6", linewidth=0.6, zorder=0)
    all_axes[-1].set_xlabel(ALPHA)


def _draw_one(axes: Axes, surface: Surface, name: str, *, colour: str, dash: str, label: str) -> None:
    """Draw one line, with small dots so that a point between two gaps shows, and crosses on top where not finite."""
    values = surface[name]
    finite = np.isfinite(values)
    axes.plot(
        surface.alpha, np.where(finite, values, np.nan),
        linestyle=dash, color=colour, linewidth=1.4, marker=".", markersize=3.5, label=label,
    )  # fmt: skip
    broken = ~finite & (surface.status != PENDING)
    if broken.any():
        axes.plot(
            surface.alpha[broken], np.ones(np.count_nonzero(broken)), "x", color=colour, markersize=5,
            markeredgewidth=1.2, transform=axes.get_xaxis_transform(), clip_on=False, zorder=5,
        )  # fmt: skip
