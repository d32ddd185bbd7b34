"""The work of the ranks: a plan of points, the task of each rank, and the progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lossgrid.parallel.mail import Write
from lossgrid.surface import Results, Work

Evaluate = Callable[[Work, Callable[[], object]], Results]


class Plan(Protocol):
    """An order of points, which may depend on the results of earlier points.

    It depends on values alone, never on which rank computed a point, or when: so neither does the surface.
    """

    @property
    def remaining(self) -> int:
        """Number of points that were not handed out yet, as far as the plan knows it."""

    @property
    def is_over(self) -> bool:
        """Return whether no more points will be handed out."""

    def ask(self, at_most: int) -> Work | None:
        """Return the next 1 to ``at_most`` points; None if they depend on points that are being computed."""

    def tell(self, results: Results) -> None:
        """Receive the results of points."""


@dataclass
class Progress:
    """The progress of the ranks, as root knows it.

    Attributes:
        total: Number of points to compute.
        done: Number of points whose results root has received.
        points: Number of points done by each rank.
        slowest: Seconds of the costliest point.
    """

    total: int
    done: int = 0
    points: list[int] = field(default_factory=list)
    slowest: float = 0.0


@dataclass(frozen=True)
class Task:
    """How a rank computes and stores its points.

    Attributes:
        evaluate: ``evaluate(work, tick)`` returns the results of a point; it calls ``tick()`` between batches.
        write: Called with finished points by the rank that computed them.
        collect: Called on root with the finished points of other ranks; None if ``write`` has already stored them.
        seconds_left: Returns the seconds that the run may still take, as this process knows them; 0 once it was asked
            to stop. Root stops early enough for the costliest point so far to finish.
    """

    evaluate: Evaluate
    write: Write
    collect: Write | None
    seconds_left: Callable[[], float]
