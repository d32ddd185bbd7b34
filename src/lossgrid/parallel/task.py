"""What ranks share: a plan of points, what each does with a point, and how far they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lossgrid.parallel.mail import Write
from lossgrid.surface import Results, Work

Evaluate = Callable[[Work, Callable[[], object]], Results]


class Plan(Protocol):
    """Says which points are computed next, and hears what came of them.

    It depends on values alone, never on which rank computed a point, or when: so the surface does not either.
    """

    @property
    def remaining(self) -> int:
        """Number of points that have not been given away, as far as it is known."""

    @property
    def is_over(self) -> bool:
        """Tell whether there will be no more points to give away."""

    def ask(self, at_most: int) -> Work | None:
        """Give away up to ``at_most`` points, at least one; None where the next depend on points under way."""

    def tell(self, results: Results) -> None:
        """Hear what came of points."""


@dataclass
class Progress:
    """What is known at root while the ranks compute.

    Attributes:
        total: Points to compute.
        done: Points whose results have arrived.
        points: Points done by each rank.
        slowest: Seconds the costliest point took.
    """

    total: int
    done: int = 0
    points: list[int] = field(default_factory=list)
    slowest: float = 0.0


@dataclass(frozen=True)
class Task:
    """What a rank does with its points.

    Attributes:
        evaluate: ``evaluate(work, tick)`` returns the results of a point; it calls ``tick()`` between batches.
        write: Called with finished points by the rank that computed them.
        collect: Called on root with the finished points of other ranks; None where ``write`` has already put them away.
        seconds_left: How long the run may still take, as far as this process knows; 0 once it was asked to stop. Root
            stops in time for the costliest point seen so far.
    """

    evaluate: Evaluate
    write: Write
    collect: Write | None
    seconds_left: Callable[[], float]
