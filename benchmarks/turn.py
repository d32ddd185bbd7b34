"""What passes between point.py and a contestant, which may run in another environment or under mpirun.

One line of JSON each: ``{"points": 2}`` asks for a plane of 2 x 2, a :class:`Turn` answers. A contestant says
``{"ready": ...}`` before the first, ``{"failed": ...}`` where it must give up, and leaves at the end of its input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """A plane computed.

    Attributes:
        seconds: Of computing all its points.
        losses: At the points, row by row, ``[beta, alpha]``; of directions of its own where the contestant draws them.
        minimum: The loss at theta*.
        about: What the contestant chose by itself.
    """

    seconds: float
    losses: list[float]
    minimum: float
    about: str = ""


Surface = Callable[[int], Turn]  # of the number of points along each axis
