"""A surface in memory: what a surface file holds, read at one moment; plots and notebooks work on this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.surface.sessions import Session

PENDING, DONE, NOT_FINITE, FAILED = 0, 1, 2, 3  # the values of /status


@dataclass(frozen=True)
class Surface:
    """Loss and accuracy over a grid; every array is ``[beta, alpha]``, or ``(n_alpha,)`` for a line.

    Attributes:
        alpha: Coordinates along delta, shape ``(n_alpha,)``, float64.
        beta: Coordinates along eta, shape ``(n_beta,)``, float64; None for a line.
        metrics: ``"train_loss"``, ``"test_accuracy"``, ... to arrays of ``shape``, float64, NaN where pending; a merged
            surface has there what is known. Losses are per sample (nats for cross-entropy), accuracies fractions 0..1.
        status: ``PENDING``, ``DONE``, ``NOT_FINITE`` or ``FAILED``, ``shape``, uint8.
        seconds: What each point cost, ``shape``, float32, NaN where pending.
        rank: Which rank computed each point, ``shape``, int32, -1 where pending.
        config: The resolved settings of the run.
        provenance: Versions, digests, devices and the ranks of the run.
        complete: True when the run that wrote the file finished every point.
        created: ISO 8601 time the file was made.
        finished: ISO 8601 time it was completed, None before.
        sessions: How many ranks computed it, and for how long.
        rounding: Largest differences from float32 at a few points; None where the precision is not lower.
        units: What each metric counts, by its name.
        path: The file it was read from; None for a surface that was never written.
        id: What tells that file from others; empty for a surface that was never written, and in older files.
    """

    alpha: npt.NDArray[np.float64]
    beta: npt.NDArray[np.float64] | None
    metrics: Mapping[str, npt.NDArray[np.float64]]
    status: npt.NDArray[np.uint8]
    seconds: npt.NDArray[np.float32]
    rank: npt.NDArray[np.int32]
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    complete: bool
    created: str
    finished: str | None
    sessions: tuple[Session, ...] = ()
    rounding: Mapping[str, Any] | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None
    id: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n_beta, n_alpha)``, or ``(n_alpha,)`` for a line."""
        return self.status.shape

    @property
    def is_line(self) -> bool:
        """Tell whether there is no beta axis."""
        return self.beta is None

    @property
    def pending(self) -> int:
        """Number of points not computed yet."""
        return int(np.count_nonzero(self.status == PENDING))

    @property
    def done(self) -> int:
        """Number of points whose values are there, finite or not."""
        return int(np.count_nonzero((self.status == DONE) | (self.status == NOT_FINITE)))

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]:
        """Return the metric of that name, ``shape``, float64.

        Raises:
            InputError: The surface has no such metric.
        """
        try:
            return self.metrics[name]
        except KeyError:
            have = ", ".join(self.metrics)
            raise InputError(f"the surface has no metric {name!r}; it has {have}") from None
