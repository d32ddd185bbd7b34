"""Parts of surfaces for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossgrid.surface import Quantity
from lossgrid.surface.quantity import accuracy, named

NATS = "nats per sample"


def quantity(name: str, units: str = NATS) -> Quantity:
    """Return what a name such as ``train_loss`` means, losses in ``units``."""
    return named(name, units)


def quantities(*splits: str) -> list[Quantity]:
    """Return loss and accuracy of each split."""
    return [made for split in splits for made in (quantity(f"{split}_loss"), accuracy(split))]


def measured(values: Mapping[str, np.ndarray], units: str = NATS) -> dict[str, Any]:
    """Return what a surface is told of its values: ``Surface(**measured({"train_loss": ...}), ...)``."""
    return {"quantities": {name: quantity(name, units) for name in values}, "values": dict(values)}
