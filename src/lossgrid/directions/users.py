"""Directions that a user's function returns: ``--directions package.module:function``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lossgrid import user_code
from lossgrid.directions.choice import without_fixed
from lossgrid.directions.entries import Entries
from lossgrid.directions.source import Around
from lossgrid.directions.stored import Given
from lossgrid.errors import InputError

ROLE = "direction source"


@dataclass(frozen=True)
class OfUser:
    """Directions made by ``function(around, axes)``.

    Attributes:
        function: Called with an :class:`~lossgrid.directions.Around` and the number of axes. It returns a list of as
            many dicts of tensors by entry of the network; entries that a dict leaves out do not move. It may move only
            those of ``around.moves``.
        name: Its name in errors.
    """

    function: Callable[..., Any]
    name: str
    needs_data: bool = True
    needs_all_ranks: bool = True  # it may communicate

    def make(self, around: Around, axes: int) -> list[Entries]:
        """Return the directions that the function returns.

        Raises:
            InputError: The function fails, or its result does not fit the network.
        """
        made = user_code.call(self.function, around, axes, name=self.name, role=ROLE)
        if not isinstance(made, (list, tuple)):
            raise InputError(
                f"{ROLE} {self.name}: expected a list of {axes} dicts of tensors, got a {type(made).__name__}"
            )
        source = f"{ROLE} {self.name}"
        given = Given(made, source).make(around, axes)
        return [without_fixed(direction, around.moves, source=source) for direction in given]
