"""The lines of a plane through its centre, drawn above it and at its right."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from lossgrid.plot.coordinates import DrawnAxis
from lossgrid.plot.scale import Scale

HEIGHT, GAP = 0.24, 0.03  # as fractions of the panel
TICKS = 3
COLOUR = "#004C78"


def draw_marginals(
    axes: Axes, alpha: DrawnAxis, beta: DrawnAxis, values: npt.NDArray[np.float64], *, scale: Scale
) -> None:
    """Draw the values of the row nearest to beta = 0 above ``axes``, of the column nearest to alpha = 0 at the right.

    Args:
        axes: A flat panel.
        alpha: The axis of ``n_alpha`` coordinates.
        beta: The axis of ``n_beta`` coordinates.
        values: Shape ``(n_beta, n_alpha)``, float64; lines have gaps where they are not finite.
        scale: The scale of the plane, which the lines share; they leave their axes where they leave it.
    """
    row, column = (int(np.abs(axis.coordinates).argmin()) for axis in (beta, alpha))
    heights = scale.transform(values).filled(np.nan)
    above = axes.inset_axes((0, 1 + GAP, 1, HEIGHT), sharex=axes)
    beside = axes.inset_axes((1 + GAP, 0, HEIGHT, 1), sharey=axes)
    style: dict[str, Any] = {"color": COLOUR, "linewidth": 1, "marker": ".", "markersize": 2}
    above.plot(alpha.coordinates, heights[row], **style)
    beside.plot(heights[:, column], beta.coordinates, **style)
    ticks = scale.transform(scale.ticks(TICKS)).compressed()
    texts = [scale.write(tick) for tick in ticks]
    low, high = scale.limits
    margin = 0.05 * (high - low)
    above.set(ylim=(low - margin, high + margin))
    above.set_yticks(ticks, texts)
    beside.set(xlim=(low - margin, high + margin))
    beside.set_xticks(ticks, texts, rotation=90)
    above.tick_params(labelbottom=False, labelsize="x-small")
    beside.tick_params(labelleft=False, labelsize="x-small")
    for own, at in ((above, beta.coordinates[row]), (beside, alpha.coordinates[column])):
        own.spines[["top", "right"]].set_visible(False)
        symbol = r"\beta" if own is above else r"\alpha"
        own.text(
            0.98, 0.97, rf"${symbol} = {at:.3g}$", transform=own.transAxes, ha="right", va="top", fontsize="x-small",
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip
