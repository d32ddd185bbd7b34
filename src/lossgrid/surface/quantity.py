"""What one value for each point means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A quantity known per grid point, such as ``train_loss`` in ``nats per sample``."""

    name: str
    units: str
