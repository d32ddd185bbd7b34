"""The points that a plan has asked for, with their values: on all samples, or on fewer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lossgrid.surface import Work
from lossgrid.surface.lattice import works

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NEVER = 255  # the level of points that no round wants


@dataclass(frozen=True)
class Asked:
    """Values of points, and which were asked for; its arrays change.

    Attributes:
        values: Shape ``(n_quantities, n_beta, n_alpha)``, float64; NaN where not known.
        known: Which points have values, ``(n_beta, n_alpha)``, bool.
        handed: Which points need not be asked for, likewise.
        level: The round in which a point was wanted, ``NEVER`` for others, ``(n_beta, n_alpha)``, uint8.
        samples: Number of samples of each split; 0 for all.
    """

    values: Array
    known: Mask
    handed: Mask
    level: npt.NDArray[np.uint8]
    samples: int = 0

    @classmethod
    def of(cls, shape: tuple[int, ...], values: Array | None, known: Mask | None, samples: int = 0) -> Asked:
        """Return the values that are known at first, which nobody need ask for; None for none.

        Args:
            shape: ``(n_quantities, n_beta, n_alpha)``.
            values: The values.
            known: Which points have them.
            samples: Number of samples; 0 for all.
        """
        there = np.zeros(shape[1:], dtype=bool) if known is None else known.copy()
        found = np.full(shape, np.nan) if values is None else values.copy()
        return cls(found, there, there.copy(), np.full(shape[1:], NEVER, dtype=np.uint8), samples)

    def ask(self, points: Mask, origin: tuple[int, int]) -> Iterator[Work]:
        """Yield work for those of ``points`` that were not asked for before; ``origin`` is a point of all lattices."""
        fresh = points & ~self.handed
        self.handed[fresh] = True
        for work in works(fresh, origin):
            yield replace(work, samples=self.samples)

    def take(self, work: Work, values: Array) -> None:
        """Take values of points, shape ``(len(work), n_quantities)``."""
        columns = slice(work.start, work.stop, work.step)
        self.values[:, work.row, columns] = values.T
        self.known[work.row, columns] = True
