"""What is written on a picture: names of quantities with their units, titles, notes on missing points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lossgrid.errors import InputError
from lossgrid.plot.scale import Scale
from lossgrid.surface import PENDING, Surface
from lossgrid.wording import one_line

ALPHA = r"$\alpha$ (along $\delta$)"
BETA = r"$\beta$ (along $\eta$)"
FIRST_SPLITS = ("train", "test")
NAME = 40  # characters of a name of a metric, a model or a loss
TITLE = 64  # characters of a title


def plain(text: str, most: int = TITLE) -> str:
    """Return foreign text for a picture: one line, not read as a formula, and in legends also with ``_`` before it."""
    shown = one_line(text, most).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def is_loss(metric: str) -> bool:
    """Tell whether ``metric`` is a loss, which may be huge."""
    return metric.endswith("_loss")


def is_accuracy(metric: str) -> bool:
    """Tell whether ``metric`` is a fraction of correct answers."""
    return metric.endswith("_accuracy")


def split_of(metric: str) -> str:
    """Return ``train`` of ``train_loss``."""
    return metric.rpartition("_")[0]


def in_order(metrics: Iterable[str]) -> list[str]:
    """Sort names of metrics: losses first, train before test before others."""

    def rank(metric: str) -> tuple[bool, bool, int, str]:
        split = split_of(metric)
        place = FIRST_SPLITS.index(split) if split in FIRST_SPLITS else len(FIRST_SPLITS)
        return not is_loss(metric), not is_accuracy(metric), place, metric

    return sorted(metrics, key=rank)


def choose_metric(surface: Surface, metric: str | None) -> str:
    """Return ``metric`` if the surface has it; without one its first loss.

    Raises:
        InputError: The surface has no such metric, or none at all.
    """
    if not surface.metrics:
        raise InputError("the surface has no metric to draw")
    chosen = in_order(surface.metrics)[0] if metric is None else metric
    surface[chosen]  # the surface itself says what it has
    return chosen


def words_of(metric: str) -> str:
    """Return the name of a metric as words, such as ``train loss``."""
    return one_line(metric.replace("_", " "), NAME)


def quantity(surfaces: Sequence[Surface], name: str) -> str:
    """Name a metric, or just ``loss``, with its unit, such as ``train loss (nats per sample)``."""
    words = words_of(name)
    losses = {text_of(surface, "loss") for surface in surfaces}
    if name.endswith("loss") and len(losses) == 1:
        loss = losses.pop()
        unit = "nats per sample" if loss == "cross_entropy" else loss
        return f"{words} ({unit})" if unit else words
    return words


def text_of(surface: Surface, setting: str) -> str:
    """Return a setting of the run that is a text, short; empty where the file holds none."""
    value = surface.config.get(setting)
    return one_line(value, NAME) if isinstance(value, str) else ""


def clipping(scale: Scale) -> str:
    """Say what a colour bar does not show, as a second line; empty where it shows everything."""
    low, high = scale.limits
    parts = [f"clipped below {scale.write(low)}"] if scale.below else []
    parts += [f"clipped above {scale.write(high)}"] if scale.above else []
    return "\n" + ", ".join(parts) if parts else ""


def title_of(surface: Surface) -> str:
    """Name the model and the grid, alpha first as in width times height."""
    points = " x ".join(str(count) for count in reversed(surface.shape)) + " points"
    model = text_of(surface, "model")
    return f"{model}, {points}" if model else points


def missing(surface: Surface, metrics: Iterable[str]) -> str:
    """Count the points without a value, such as ``2 points not finite, 40 pending``; empty where there is none."""
    unknown = np.zeros(surface.shape, dtype=bool)
    for metric in metrics:
        unknown |= ~np.isfinite(surface[metric])
    is_pending = surface.status == PENDING
    not_finite, pending = (int(np.count_nonzero(unknown & which)) for which in (~is_pending, is_pending))
    parts = [f"{not_finite} point{'s' if not_finite != 1 else ''} not finite"] if not_finite else []
    parts += [f"{pending} pending"] if pending else []
    return ", ".join(parts)
