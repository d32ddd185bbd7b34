"""What is written on a picture: names of quantities with their units, titles, notes on missing points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lossgrid.plot.scale import Scale
from lossgrid.surface import PENDING, Quantity, Surface
from lossgrid.wording import of_shape, one_line, ordinal

ALPHA = r"$\alpha$ (along $\delta$)"
BETA = r"$\beta$ (along $\eta$)"
USERS_UNITS = "loss per sample"  # of a function whose unit is not known
NAME = 40  # characters of a name of a quantity, a model or a loss
TITLE = 64  # characters of a title


def plain(text: str, most: int = TITLE) -> str:
    """Return foreign text for a picture: one line, not read as a formula, and in legends also with ``_`` before it."""
    shown = one_line(text, most).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def words_of(name: str) -> str:
    """Return the name of a quantity as words, such as ``train loss``."""
    return one_line(name.replace("_", " "), NAME)


def with_unit(words: str, quantity: Quantity, surfaces: Sequence[Surface]) -> str:
    """Add the unit of a quantity, where it is one for all surfaces: ``train loss (nats per sample)``."""
    units = {
        _unit(surface, surface.quantities[quantity.name]) for surface in surfaces if quantity.name in surface.quantities
    }
    unit = units.pop() if len(units) == 1 else ""
    return words if quantity.is_share or unit in ("", "1") else f"{words} ({unit})"


def _unit(surface: Surface, quantity: Quantity) -> str:
    """Return the unit as text; a user's loss has the name of the function."""
    return text_of(surface, "loss") if quantity.units == USERS_UNITS else one_line(quantity.units, NAME)


def text_of(surface: Surface, setting: str) -> str:
    """Return a setting of the run that is a text, short; empty where the file holds none."""
    return one_line(surface.origin.setting(setting) or "", NAME)


def clipping(scale: Scale) -> str:
    """Say what a colour bar does not show, as a second line; empty where it shows everything."""
    low, high = scale.limits
    parts = [f"clipped below {scale.write(low)}"] if scale.below else []
    parts += [f"clipped above {scale.write(high)}"] if scale.above else []
    return "\n" + ", ".join(parts) if parts else ""


def title_of(surface: Surface) -> str:
    """Name the model and the grid, alpha first as in width times height."""
    points = f"{of_shape(reversed(surface.shape))} points"
    model = text_of(surface, "model")
    return f"{model}, {points}" if model else points


def missing(surface: Surface, names: Iterable[str]) -> str:
    """Count the points without a value, such as ``2 points not finite, 40 pending``; empty where there is none."""
    unknown = np.zeros(surface.shape, dtype=bool)
    for name in names:
        unknown |= ~np.isfinite(surface[name])
    is_pending = surface.status == PENDING
    not_finite, pending = (int(np.count_nonzero(unknown & which)) for which in (~is_pending, is_pending))
    parts = [f"{not_finite} point{'s' if not_finite != 1 else ''} not finite"] if not_finite else []
    parts += [f"{pending} pending"] if pending else []
    parts += [f"every {ordinal(surface.stride)} point so far"] if surface.stride > 1 else []
    return ", ".join(parts)
