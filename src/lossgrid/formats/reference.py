"""Surface files for the scripts of the reference tool (tomgoldstein/loss-landscape)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lossgrid.errors import InputError
from lossgrid.formats.format import Format
from lossgrid.surface import Surface


def write(surface: Surface, path: Path) -> None:
    """Write a file of the reference tool, whose accuracies are in per cent.

    Raises:
        InputError: There is no loss, or an accuracy is not a fraction.
        OSError: The file cannot be written.
    """
    from lossgrid import store
    from lossgrid.formats.loss_landscape import to_reference

    for name, quantity in surface.quantities.items():
        values = surface[name]
        wrong = values[np.isfinite(values) & ((values < 0) | (values > 1))]
        if quantity.kind == "accuracy" and wrong.size:
            raise InputError(
                f"{surface.path}: {name} must be fractions from 0 to 1 for loss-landscape, got {wrong[0]:g}"
            )
    store.write_reference(path, to_reference(surface))


LOSS_LANDSCAPE = Format("loss-landscape", "_loss_landscape.h5", "a file for the plots of the reference tool", write)
