"""Lines L(theta* + alpha delta): losses in one panel, accuracies in another below it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

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
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for position, (axes, names) in enumerate(zip(all_axes, panels, strict=True)):
        _fill(axes, surfaces, labels, names, options if position == 0 else ScaleOptions())
    notes = [missing(surface, (name for names in panels for name in names if name in surface.metrics))
             for surface in surfaces]  # fmt: skip
    if len(surfaces) > 1:
        notes = [f"{label}: {note}" for label, note in zip(labels, notes, strict=True) if note]
    all_axes[0].set_title(title, loc="left")
    all_axes[0].set_title("; ".join(filter(None, notes)), loc="right", fontsize="x-small", color="0.4")
    all_axes[-1].set_xlabel(ALPHA)
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
    """Draw ``names`` of all surfaces, each missing a point where it has no finite value."""
    drawn = [
        (surface, label, name)
        for surface, label in zip(surfaces, labels, strict=True)
        for name in names
        if name in surface.metrics
    ]
    values = np.concatenate([surface[name].ravel() for surface, _, name in drawn])
    scale = choose_scale(values, options, is_loss=is_loss(names[0]))
    if scale.log:
        axes.set_yscale("log")
    several = len(surfaces) > 1
    for surface, label, name in drawn:
        split = names.index(name)
        number = next(i for i, one in enumerate(surfaces) if one is surface) if several else split
        _draw_one(
            axes, surface, name,
            colour=COLOURS[number % len(COLOURS)],
            dash=DASHES[split % len(DASHES)],
            label=(f"{label}, {split_of(name)}" if len(names) > 1 else label) if several else split_of(name) or name,
        )  # fmt: skip
    first, last = (extreme(ends) for extreme, ends in (
        (min, [surface.alpha[0] for surface in surfaces]), (max, [surface.alpha[-1] for surface in surfaces]),
    ))  # fmt: skip
    if first < last:
        axes.set_xlim(first, last)
    if first <= 0 <= last:
        axes.axvline(0, color="0.6", linewidth=0.6, zorder=0)
    if is_accuracy(names[0]):
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None))
        axes.set_ylim(-0.03, 1.03)
    if scale.above or options.vmax is not None:
        axes.set_ylim(top=scale.high)
    if scale.below or options.vmin is not None:
        axes.set_ylim(bottom=scale.low)
    axes.set_ylabel(quantity(surfaces, names[0] if len(names) == 1 else names[0].rpartition("_")[2]))
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    if len(drawn) > 1 and is_loss(names[0]):
        axes.legend(frameon=False)


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
