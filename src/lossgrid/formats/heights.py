"""Heights: the values of one quantity, linear or logarithmic, clipped at a value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.surface import Quantity, Surface


@dataclass(frozen=True)
class HeightOptions:
    """The options of heights; None is chosen by the format.

    Attributes:
        metric: The quantity, such as ``test_loss``; None for the first loss.
        log: Whether heights are logarithms, of base 10; None for linear in ``vtk``, what the values need in ``html``.
        clip: The highest height, in the unit of the quantity.
    """

    metric: str | None = None
    log: bool | None = None
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.clip is not None and not math.isfinite(self.clip):
            raise InputError(f"--clip must be a finite number, got {self.clip}")
        if self.log and self.clip is not None and self.clip <= 0:
            raise InputError(f"--clip must be positive with --log, got {self.clip:g}")


DEFAULTS = HeightOptions()


def choose_values(surface: Surface, options: HeightOptions) -> tuple[Quantity, npt.NDArray[np.float64]]:
    """Return the quantity and its values, ``surface.shape``, float64, NaN where they are not finite.

    Raises:
        InputError: The surface has no such quantity, or none of its values can be a height.
    """
    quantity = surface.quantity(options.metric)
    name = quantity.name
    values = np.where(np.isfinite(surface[name]), surface[name], np.nan)
    if np.isnan(values).all():
        raise InputError(f"{surface.path}: {name} is known at no point; compute some first with lossgrid run")
    shown = values[values > 0] if options.log else values[~np.isnan(values)]
    if not shown.size:
        raise InputError(f"--log needs positive values, and the highest {name} is {np.nanmax(values):g}; leave it out")
    if options.clip is not None and options.clip <= shown.min():
        raise InputError(f"--clip {options.clip:g} leaves nothing of {name}, of which {shown.min():g} is lowest")
    return quantity, values
