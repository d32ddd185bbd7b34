"""Styles of pictures: sizes and lines, and the look of the paper's figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt

from lossgrid.plot.options import PictureOptions

PLAIN: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": "medium",
    "axes.labelsize": "medium",
    "axes.linewidth": 0.6,
    "xtick.labelsize": "small",
    "ytick.labelsize": "small",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": "small",
    "grid.color": "0.88",
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.6,
    "figure.dpi": 120,
}
PAPER = PLAIN | {"axes.linewidth": 0.4, "xtick.major.size": 2, "ytick.major.size": 2}
PUBLISHED = tuple(round(0.1 + 0.5 * i, 1) for i in range(20))  # 0.1, 0.6, ..., 9.6: vmin, vlevel of loss-landscape


def settings_of(options: PictureOptions) -> dict[Any, Any]:
    """Return the matplotlib settings of a picture: what ``options`` say, else what the user has set, else our own."""
    current: dict[Any, Any] = matplotlib.rcParams
    default: dict[Any, Any] = matplotlib.rcParamsDefault
    own = PAPER if options.style == "paper" else PLAIN
    settings = {name: value for name, value in own.items() if current[name] == default[name]}
    asked = {"font.family": options.font, "font.size": options.font_size}
    return settings | {name: value for name, value in asked.items() if value is not None}


def as_published(options: PictureOptions, values: npt.NDArray[np.float64]) -> PictureOptions:
    """Return options with the levels of the published pictures, where the user gave no scale and ``values`` cross them.

    They are the defaults of ``plot_2D.py`` of tomgoldstein/loss-landscape: from 0.1 to 10 in steps of 0.5.
    """
    is_open = (options.log, options.vmin, options.vmax, options.levels) == (None,) * 4
    crossed = [level for level in PUBLISHED if (values < level).any() and (values > level).any()]
    return replace(options, levels=PUBLISHED, vmax=10.0) if is_open and len(crossed) > 1 else options
