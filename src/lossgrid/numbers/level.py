"""Levels: heights above the centre, whose level sets are measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lossgrid.errors import InputError


@dataclass(frozen=True)
class Level:
    """A height above the centre: ``rise`` added to its loss, or its loss times ``factor``."""

    rise: float = 0.0
    factor: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Level:
        """Read ``+0.1`` or ``2x``.

        Raises:
            InputError: It is neither, or not above the centre.

        Example:
            >>> Level.parse("+0.1"), Level.parse("2x")
            (Level(rise=0.1, factor=1.0), Level(rise=0.0, factor=2.0))
        """
        try:
            level = cls(factor=float(text[:-1])) if text.endswith("x") else cls(rise=float(text))
        except ValueError:
            raise InputError(f"expected a level such as +0.1 or 2x, got {text!r}") from None
        if not (level.rise > 0 or level.factor > 1) or not math.isfinite(level.rise * level.factor):
            raise InputError(f"a level must be above the centre, +0.1 or 2x, got {text!r}")
        return level

    def height(self, loss: float, unit: float = 1.0) -> float | None:
        """Return the loss of the level for ``loss`` at the centre; None for a multiple of a loss that is not positive.

        Both losses are in ``unit``.
        """
        if self.factor > 1:
            return self.factor * loss if loss > 0 else None
        return loss + self.rise / unit

    @property
    def label(self) -> str:
        """The level as text: ``at centre +0.1``, ``at 2x the centre``."""
        return f"at {self} the centre" if self.factor > 1 else f"at centre {self}"

    def __str__(self) -> str:
        return f"{self.factor:g}x" if self.factor > 1 else f"+{self.rise:g}"
