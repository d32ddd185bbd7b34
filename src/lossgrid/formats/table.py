"""CSV: a row per point, alpha first; missing values are blank, values that are not finite ``nan`` or ``inf``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.formats.format import Format
from lossgrid.formats.points import coordinates
from lossgrid.surface import DONE, FAILED, INTERPOLATED, NOT_FINITE, PENDING, Surface
from lossgrid.surface.quantity import bar_of, error_of, in_order, sampled_of

STATUS = {PENDING: "pending", DONE: "done", NOT_FINITE: "not finite", FAILED: "failed", INTERPOLATED: "interpolated"}


def write(surface: Surface, path: Path) -> None:
    """Write coordinates, values, status, seconds, rank, errors, bars and values on fewer samples, to the same bits.

    Raises:
        OSError: The file cannot be written.
    """
    names = [quantity.name for quantity in in_order(surface.quantities.values())]
    with_errors = [name for name in names if name in surface.errors]
    with_bars = [name for name in names if name in surface.bars]
    with_fewer = [name for name in names if name in surface.sampled]
    columns = {
        **{name: numbers.ravel().tolist() for name, numbers in coordinates(surface).items()},
        **{name: _written(surface[name], surface.computed | ~np.isnan(surface[name])) for name in names},
        "status": [STATUS[number] for number in surface.status.ravel().tolist()],
        "seconds": _written(surface.seconds, ~np.isnan(surface.seconds)),
        "rank": _written(surface.rank, surface.rank >= 0),
        **{error_of(name): _written(surface.errors[name], ~np.isnan(surface.errors[name])) for name in with_errors},
        **{bar_of(name): _written(surface.bars[name], ~np.isnan(surface.bars[name])) for name in with_bars},
        **{sampled_of(name): _written(surface.sampled[name], ~np.isnan(surface.sampled[name])) for name in with_fewer},
    }
    with path.open("x", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _written(values: npt.NDArray[Any], present: npt.NDArray[np.bool_]) -> list[str]:
    """Return numbers as the shortest text with the same bits; blank where not ``present``."""
    return [str(value) if is_present else "" for value, is_present in zip(values.ravel(), present.ravel(), strict=True)]


CSV = Format("csv", ".csv", "a row for each point", write)
