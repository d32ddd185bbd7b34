"""The texts of a picture: names of quantities with their units, titles, notes on missing points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lossgrid.plot.scale import Scale
from lossgrid.surface import PENDING, Quantity, Surface
from lossgrid.wording import of_shape, one_line, ordinal

ALPHA = r"$\alpha$ (along $\delta$)"
BETA = r"$\beta$ (along $\eta$)"
USERS_UNITS = "loss per sample"  # the unit of a user's function
NAME = 40  # characters of a name of a quantity, a model or a loss
TITLE = 64  # characters of a title


def plain(text: str, most: int = TITLE) -> str:
    """Return untrusted text for a picture: one line, no formula, and shown by legends also if it starts with ``_``."""
    shown = one_line(text, most).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def text_of(name: str) -> str:
    """Return the name of a quantity as text, such as ``train loss``."""
    return one_line(name.replace("_", " "), NAME)


def with_unit(text: str, quantity: Quantity, surfaces: Sequence[Surface]) -> str:
    """Return ``text`` with the unit of a quantity, if all surfaces have the same: ``train loss (nats per sample)``."""
    units = {
        _unit(surface, surface.quantities[quantity.name]) for surface in surfaces if quantity.name in surface.quantities
    }
    unit = units.pop() if len(units) == 1 else ""
    return text if quantity.is_share or unit in ("", "1") else f"{text} ({unit})"


def _unit(surface: Surface, quantity: Quantity) -> str:
    """Return the unit as text; for a user's loss the name of the function."""
    return setting_of(surface, "loss") if quantity.units == USERS_UNITS else one_line(quantity.units, NAME)


def setting_of(surface: Surface, setting: str) -> str:
    """Return a text setting of the run, shortened; empty if the file has none."""
    return one_line(surface.origin.setting(setting) or "", NAME)


def clipping(scale: Scale) -> str:
    """Return a second line that reports clipped values; empty if none are."""
    low, high = scale.limits
    parts = [f"clipped below {scale.write(low)}"] if scale.below else []
    parts += [f"clipped above {scale.write(high)}"] if scale.above else []
    return "\n" + ", ".join(parts) if parts else ""


def title_of(surface: Surface) -> str:
    """Return the label, or else the model, and the size of the grid, alpha first."""
    points = f"{of_shape(reversed(surface.shape))} points"
    name = setting_of(surface, "label") or setting_of(surface, "model")
    return f"{name}, {points}" if name else points


def missing(surface: Surface, names: Iterable[str]) -> str:
    """Return how many points have no value, such as ``2 points not finite, 40 pending``; empty if none."""
    unknown = np.zeros(surface.shape, dtype=bool)
    for name in names:
        unknown |= ~np.isfinite(surface[name])
    is_pending = surface.status == PENDING
    not_finite, pending = (int(np.count_nonzero(unknown & which)) for which in (~is_pending, is_pending))
    parts = [f"{not_finite} point{'s' if not_finite != 1 else ''} not finite"] if not_finite else []
    parts += [f"{pending} pending"] if pending else []
    parts += [f"every {ordinal(surface.stride)} point so far"] if surface.stride > 1 else []
    return ", ".join(parts)
