"""A surface in memory: the contents of a surface file at one time, for pictures, numbers and notebooks."""

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
from lossgrid.surface.refinement import Refinement
from lossgrid.surface.sessions import Session
from lossgrid.wording import of_shape, one_line

PENDING, DONE, NOT_FINITE, FAILED, INTERPOLATED = 0, 1, 2, 3, 4  # the values of /status
NAME = 40  # characters of a label, split or kind in text


@dataclass(frozen=True, repr=False)
class Surface:
    """Loss and accuracy over a grid; every array is ``[beta, alpha]``, or ``(n_alpha,)`` for a line.

    Attributes:
        alpha: Coordinates along delta, shape ``(n_alpha,)``, float64.
        beta: Coordinates along eta, shape ``(n_beta,)``, float64; None for a line.
        quantities: ``"train_loss"``, ``"test_accuracy"``, ... to the meaning of their values.
        values: The same names to arrays of ``shape``, float64, NaN where pending; a merged surface may have values
            there. Losses are per sample (nats for cross-entropy), accuracies fractions 0..1.
        status: ``PENDING``, ``DONE``, ``NOT_FINITE``, ``FAILED`` or ``INTERPOLATED``, ``shape``, uint8.
        seconds: Time of each point, on all samples or on fewer, ``shape``, float32, NaN where there was neither.
        rank: The rank that computed it, ``shape``, int32, -1 likewise.
        origin: Its inputs, settings, libraries and machines.
        complete: Whether the run that wrote the file computed every point.
        created: Time at which the file was created, ISO 8601.
        finished: Time of completion, ISO 8601; None before.
        sessions: The runs that computed it, with ranks and seconds.
        rounding: Largest differences from float32 at a few points; None where the precision is not lower.
        errors: Standard errors of values over their samples, s / sqrt(n), by quantity, ``shape``, float32; NaN where
            missing. Surfaces of other programs and of older versions have none.
        samples: Number of samples of each point, ``shape``, int32; None if not stored.
        level: The round of refinement that wanted each point, ``shape``, uint8, 255 for none; None if there is none.
        bars: Half-widths of the error bars of interpolated values, by quantity, ``shape``, float32; 0 where computed.
        sampled: Values on fewer samples, by quantity, ``shape``, float64, NaN where there are none; what is known of
            them is in ``refinement``.
        refinement: The tolerance of interpolated values and their audit; None if none are interpolated.
        stride: Rows and columns of the full surface per row and column here; 1 for a full surface.
        path: The file it was read from; None for a surface that was never written.
        id: A unique name of the file; empty for a surface that was never written, and in older files.
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
    bars: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    sampled: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    refinement: Refinement | None = None
    stride: int = 1
    path: Path | None = None
    id: str = ""

    def __repr__(self) -> str:
        """Return one line: shape, quantities by split, what is pending, file."""
        kinds: dict[str, list[str]] = {}
        for quantity in in_order(self.quantities.values()):
            kinds.setdefault(quantity.split, []).append(one_line(quantity.kind, NAME))
        parts = [f"{one_line(split, NAME)} {', '.join(of_split)}".strip() for split, of_split in kinds.items()]
        unfinished = f"{self.pending} of {self.status.size} points pending" if self.pending else "incomplete"
        parts.append("complete" if self.complete else unfinished)
        parts += [] if self.path is None else [one_line(str(self.path))]
        name = "" if self.label is None else f"{one_line(self.label, NAME)}, "
        return f"<Surface {name}{of_shape(self.shape)}: {'; '.join(parts)}>"

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of the run, as JSON types."""
        return self.origin.settings

    @property
    def provenance(self) -> dict[str, Any]:
        """The origin without the settings, as JSON types."""
        return self.origin.as_json()

    @property
    def label(self) -> str | None:
        """The name that its user gave it; None without one."""
        return self.origin.setting("label")

    @property
    def centre(self) -> tuple[int, int] | None:
        """Row and column of (0, 0), theta*; None if the grid does not contain it."""
        return zero_of(self.alpha, self.beta)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n_beta, n_alpha)``, or ``(n_alpha,)`` for a line."""
        return self.status.shape

    @property
    def is_line(self) -> bool:
        """Whether there is no beta axis."""
        return self.beta is None

    @property
    def pending(self) -> int:
        """Number of points not computed yet."""
        return int(np.count_nonzero(self.status == PENDING))

    @property
    def computed(self) -> npt.NDArray[np.bool_]:
        """Where values were computed, finite or not, but not interpolated, ``shape``, bool."""
        return np.asarray((self.status == DONE) | (self.status == NOT_FINITE))

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Where points are pending or failed, ``shape``, bool."""
        return np.isin(self.status, (PENDING, FAILED))

    @property
    def interpolated(self) -> int:
        """Number of points whose values are interpolated."""
        return int(np.count_nonzero(self.status == INTERPOLATED))

    @property
    def done(self) -> int:
        """Number of computed points, finite or not."""
        return int(np.count_nonzero(self.computed))

    def quantity(self, name: str | None = None) -> Quantity:
        """Return the quantity ``name``; without a name the first loss, or else the first quantity.

        Raises:
            InputError: The surface has no such quantity, or none at all.
        """
        if name is not None:
            self[name]  # raises InputError with the names there are
            return self.quantities[name]
        if not self.quantities:
            raise InputError("the surface has no values")
        return in_order(self.quantities.values())[0]

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]:
        """Return the values of the quantity ``name``, ``shape``, float64.

        Raises:
            InputError: The surface has no such quantity.
        """
        try:
            return self.values[name]
        except KeyError:
            have = ", ".join(self.values)
            raise InputError(f"the surface has no {name!r}; it has {have}") from None


def status_of(values: Iterable[npt.NDArray[np.float64]], computed: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Return the status of points, uint8: done if computed and finite, else not finite; pending if not computed.

    Args:
        values: The values of each quantity, of one shape.
        computed: Where all of them were computed, bool, the same shape.
    """
    finite = np.all([np.isfinite(array) for array in values], axis=0)
    return np.select([computed & finite, computed], [DONE, NOT_FINITE], PENDING).astype(np.uint8)
