"""A surface in memory: what a surface file holds, read at one moment; plots and notebooks work on this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.surface.grid import zero_of
from lossgrid.surface.origin import Origin
from lossgrid.surface.quantity import Quantity, in_order
from lossgrid.surface.sessions import Session

PENDING, DONE, NOT_FINITE, FAILED, INTERPOLATED = 0, 1, 2, 3, 4  # the values of /status


@dataclass(frozen=True)
class Surface:
    """Loss and accuracy over a grid; every array is ``[beta, alpha]``, or ``(n_alpha,)`` for a line.

    Attributes:
        alpha: Coordinates along delta, shape ``(n_alpha,)``, float64.
        beta: Coordinates along eta, shape ``(n_beta,)``, float64; None for a line.
        quantities: ``"train_loss"``, ``"test_accuracy"``, ... to what their values mean.
        values: The same names to arrays of ``shape``, float64, NaN where pending; a merged surface has there what is
            known. Losses are per sample (nats for cross-entropy), accuracies fractions 0..1.
        status: ``PENDING``, ``DONE``, ``NOT_FINITE``, ``FAILED`` or ``INTERPOLATED``, ``shape``, uint8.
        seconds: What each point cost, ``shape``, float32, NaN where pending.
        rank: Which rank computed each point, ``shape``, int32, -1 where pending.
        origin: What it was computed from, with and on.
        complete: True when the run that wrote the file finished every point.
        created: ISO 8601 time the file was made.
        finished: ISO 8601 time it was completed, None before.
        sessions: How many ranks computed it, and for how long.
        rounding: Largest differences from float32 at a few points; None where the precision is not lower.
        errors: Standard errors of values over their samples, s / sqrt(n), by quantity, ``shape``, float32; NaN where
            not known. Surfaces made by other programs, or before there were any, have none.
        samples: How many samples each point was computed on, ``shape``, int32; None where it was not kept.
        level: The level of refinement at which each point came in, ``shape``, uint8; None where there is none.
        stride: Of how many rows and columns there is one, where this is a part of a larger surface.
        path: The file it was read from; None for a surface that was never written.
        id: What tells that file from others; empty for a surface that was never written, and in older files.
    """

    alpha: npt.NDArray[np.float64]
    beta: npt.NDArray[np.float64] | None
    quantities: Mapping[str, Quantity]
    values: Mapping[str, npt.NDArray[np.float64]]
    status: npt.NDArray[np.uint8]
    seconds: npt.NDArray[np.float32]
    rank: npt.NDArray[np.int32]
    origin: Origin
    complete: bool
    created: str
    finished: str | None
    sessions: tuple[Session, ...] = ()
    rounding: Mapping[str, Any] | None = None
    errors: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    samples: npt.NDArray[np.int32] | None = None
    level: npt.NDArray[np.uint8] | None = None
    stride: int = 1
    path: Path | None = None
    id: str = ""

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of the run, as the file keeps them in JSON."""
        return self.origin.settings

    @property
    def provenance(self) -> dict[str, Any]:
        """The rest of the origin, as the file keeps it in JSON."""
        return self.origin.as_json()

    @property
    def centre(self) -> tuple[int, int] | None:
        """Row and column of (0, 0), the trained network itself; None where it is no point of the grid."""
        return zero_of(self.alpha, self.beta)

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
    def computed(self) -> npt.NDArray[np.bool_]:
        """Where values were computed, finite or not, ``shape``, bool; those that were interpolated are none."""
        return np.asarray((self.status == DONE) | (self.status == NOT_FINITE))

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Where values have yet to be computed, or could not be, ``shape``, bool."""
        return np.isin(self.status, (PENDING, FAILED))

    @property
    def done(self) -> int:
        """Number of points whose values are there, finite or not."""
        return int(np.count_nonzero(self.computed))

    def quantity(self, name: str | None = None) -> Quantity:
        """Return the quantity of that name; without a name the first loss, or what else comes first.

        Raises:
            InputError: The surface has no such quantity, or none at all.
        """
        if name is not None:
            self[name]  # which says what there is
            return self.quantities[name]
        if not self.quantities:
            raise InputError("the surface has no values")
        return in_order(self.quantities.values())[0]

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]:
        """Return the values of the quantity of that name, ``shape``, float64.

        Raises:
            InputError: The surface has no such quantity.
        """
        try:
            return self.values[name]
        except KeyError:
            have = ", ".join(self.values)
            raise InputError(f"the surface has no {name!r}; it has {have}") from None


def status_of(values: Iterable[npt.NDArray[np.float64]], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Return the status of points: pending but where all is ``known``, and done where that is finite.

    Args:
        values: The values of each quantity, of one shape.
        known: Where all of them are known, the same shape.
    """
    finite = np.all([np.isfinite(array) for array in values], axis=0)
    return np.select([known & finite, known], [DONE, NOT_FINITE], PENDING).astype(np.uint8)
