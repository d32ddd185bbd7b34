"""The plan that computes some points of a grid, and estimates the others within a tolerance."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lossgrid.sampling.asked import Array, Asked, Mask
from lossgrid.sampling.audit import CONFIDENCE, LEAST_BAR, Verdict, confidence_of, enough, judge, order_of, size_of
from lossgrid.sampling.estimate import Estimate, estimate
from lossgrid.sampling.ruler import Tolerance
from lossgrid.sampling.sweep import Places, Sweep, steering
from lossgrid.surface import Grid, Quantity, Results, Work
from lossgrid.surface.lattice import origin_of
from lossgrid.surface.refinement import Refinement

ROUNDS = 7  # points in a row that a run takes at least on networks tried: first lattice, rounds, audit
LIMIT = 0.65  # tolerances: the largest standard error before the first audit; each audit that fails halves it


@dataclass(frozen=True)
class Picture:
    """A surface with interpolated points, as it is stored; arrays are ``[..., beta, alpha]``.

    Attributes:
        values: All values, ``(n_quantities, n_beta, n_alpha)``, float64.
        bars: Half-widths of the error bars of interpolated values, likewise.
        level: The round in which a point was wanted, 255 for none, uint8.
        computed: The points whose values on all samples are known, bool.
        sampled: Those whose values on fewer samples are known, bool.
        refinement: What is known of the interpolated points.
    """

    values: Array
    bars: Array
    level: npt.NDArray[np.uint8]
    computed: Mask
    sampled: Mask
    refinement: Refinement

    def work_of(self, samples: int) -> float:
        """Return the work of its values, in points of ``samples`` samples."""
        of_fewer = min(1.0, self.refinement.samples / samples) if samples else 0.0
        return float(np.count_nonzero(self.computed) + of_fewer * np.count_nonzero(self.sampled))


class Refine:
    """A coarse lattice, then rounds of the points that are least known; then an audit. If that fails, more rounds.

    Every decision depends on values that the plan asked for, never on who computed them or when; points that are known
    already are not asked for. So a run that goes on from a file asks for the rest of the same points.
    """

    def __init__(
        self,
        grid: Grid,
        quantities: Sequence[Quantity],
        tolerance: Tolerance,
        *,
        digest: str,
        values: Array | None = None,
        known: Mask | None = None,
        samples: int = 0,
        sampled: Array | None = None,
    ) -> None:
        """Make the plan of a run.

        Args:
            grid: The points.
            quantities: The quantities of a point.
            tolerance: How far interpolated values may be off.
            digest: Decides which points are audited; the same for the same network, data and directions.
            values: Values that are known, ``(n_quantities, n_beta, n_alpha)``; None for none.
            known: Which points have them, ``(n_beta, n_alpha)``, bool.
            samples: Number of samples of cheap estimates; 0 for none. With them, results have twice as many values.
            sampled: Estimates that are known, like ``values``, NaN where not; None for none.
        """
        beta = np.zeros(1) if grid.beta is None else grid.beta.values()
        shape = (len(quantities), *grid.rows)
        self._grid, self._quantities, self._tolerance = grid, quantities, tolerance
        self._places = Places.of(grid.alpha.values(), beta, grid.centre)
        self._exact = Asked.of(shape, values, known)
        there = None if sampled is None else np.asarray(np.isfinite(sampled).all(axis=0))
        self._few = Asked.of(shape, sampled, there, samples) if samples else None
        self._given = np.zeros(grid.rows, dtype=bool)  # wanted or audited before the last audit that failed
        self._order = order_of(digest, len(grid))
        self._audits = 0
        self._queue: deque[Work] = deque()
        self._left = 0  # points in the queue
        self._is_drawn = False  # whether the points of the next audit that are certain are in the queue
        self._result: tuple[Sweep, Mask, Verdict | None] | None = None  # of a plan that is decided, with its audit
        self._base: Sweep | None = None  # of fewer samples, where it is decided
        self._found: Sweep | None = None  # what is audited
        self._audited = self._given.copy()
        self._waiting = self._given, self._given  # what the next decision waits for
        self._advance()

    @property
    def remaining(self) -> int:
        """Number of points that the plan knows it will hand out."""
        return self._left

    @property
    def is_over(self) -> bool:
        """Whether no more points will be handed out."""
        return self._result is not None and not self._queue

    def ask(self, at_most: int) -> Work | None:
        """Hand out up to ``at_most`` points; those of the audit where the next decision waits for others."""
        if not self._queue and self._result is None and not self._is_drawn:
            self._enqueue(self._drawn(~self._given, self._size), self._exact)  # wanted or audited in any case
            self._is_drawn = True
        if not self._queue:
            return None
        first, rest = self._queue.popleft().split(at_most)
        if len(rest):
            self._queue.appendleft(rest)
        self._left -= len(first)
        return first

    def tell(self, results: Results) -> None:
        """Take the values of points, and decide what is next where all it waits for is there."""
        work, count = results.work, len(self._quantities)
        if not work.samples:
            self._exact.take(work, results.values[:, :count])
        if self._few is not None:
            self._few.take(work, results.values[:, count:])
        if self._result is None and not self._waits():
            self._advance()

    def picture(self) -> Picture | None:
        """Return the surface as far as it is known; None without the coarsest lattice."""
        if self._result is not None:
            return self._picture(*self._result)
        found = self._estimate(to_the_end=True)
        return self._picture(found.sweep, np.zeros_like(self._given), None) if found.is_whole else None

    def _picture(self, found: Sweep, audited: Mask, verdict: Verdict | None) -> Picture:
        found = self._with_audit(found, audited)
        factors = [1.0] * len(found.values) if verdict is None else verdict.factors
        bars = [
            ruler.bar(values, np.maximum(spread, LEAST_BAR) * factor)
            for ruler, values, spread, factor in zip(found.rulers, found.values, found.spread, factors, strict=True)
        ]
        names = [quantity.name for quantity in self._quantities]
        few = 0 if self._few is None else self._few.samples
        told = Refinement(self._tolerance.share, self._tolerance.unit, audits=self._audits, samples=few)
        if verdict is not None:
            told = replace(
                told, audited=verdict.audited, confidence=CONFIDENCE,
                wrong=dict(zip(names, verdict.wrong, strict=True)),
                most_wrong=dict(zip(names, verdict.most_wrong, strict=True)),
            )  # fmt: skip
        sampled = np.zeros_like(self._given) if self._few is None else self._few.known
        return Picture(found.values, np.stack(bars), found.level, self._exact.known.copy(), sampled, told)

    def _advance(self) -> None:
        """Decide until a decision needs points that are not known."""
        while self._result is None:
            if self._found is None:
                found = self._estimate()
                if not found.is_whole:
                    self._base = found.base
                    self._wait_for(found.missing, found.missing_few)
                    return
                self._base, self._found, self._audited = found.base, found.sweep, self._drawn_for(found.sweep)
            if (self._audited & ~self._exact.known).any():
                self._wait_for(self._audited, np.zeros_like(self._given))
                return
            self._settle(self._found, self._audited)

    def _estimate(self, *, to_the_end: bool = False) -> Estimate:
        return estimate(
            self._places, self._quantities, self._exact, self._few, self._tolerance,
            given=self._given, limit=LIMIT / 2**self._audits, base=self._base, to_the_end=to_the_end,
        )  # fmt: skip

    def _wait_for(self, points: Mask, points_few: Mask) -> None:
        """Hand out points that the next decision needs, on all samples and on fewer."""
        self._waiting = points, points_few
        self._enqueue(points, self._exact)
        if self._few is not None:
            self._enqueue(points_few, self._few)

    def _waits(self) -> bool:
        """Return whether points are not known that the next decision needs."""
        points, points_few = self._waiting
        few = self._few is not None and bool((points_few & ~self._few.known).any())
        return few or bool((points & ~self._exact.known).any())

    def _drawn_for(self, found: Sweep) -> Mask:
        """Return the points of the audit: the first that are drawn of those that nothing else wants."""
        free = ~(found.wanted | self._given)
        return self._drawn(free, enough(self._size, int(np.count_nonzero(free)), confidence_of(self._audits)))

    @property
    def _size(self) -> int:
        """Number of points of the next audit, or a few more."""
        return size_of(len(self._grid), confidence_of(self._audits))

    def _drawn(self, free: Mask, size: int) -> Mask:
        """Return the first ``size`` points that an audit draws of those that are ``free``."""
        mask = np.zeros(free.size, dtype=bool)
        mask[self._order[free.ravel()[self._order]][:size]] = True
        return mask.reshape(free.shape)

    def _settle(self, found: Sweep, audited: Mask) -> None:
        """Judge the audit, which ends the plan; if it fails, the sweep goes on."""
        free = ~(found.wanted | self._given)
        count = int(np.count_nonzero(free))
        if count == np.count_nonzero(audited):  # nothing is left that would be interpolated
            self._result = found, audited, None
            return
        errors = np.stack(
            [
                ruler.distance(values[audited], truth[audited])
                for ruler, values, truth in zip(found.rulers, found.values, self._exact.values, strict=True)
            ]
        )
        verdict = judge(
            errors, found.spread[:, audited], count, confidence_of(self._audits), steers=steering(self._quantities)
        )
        self._audits += 1
        if verdict.passes:
            self._result = found, audited, verdict
            return
        self._given |= audited | found.wanted
        self._base, self._found, self._is_drawn = None, None, False

    def _with_audit(self, found: Sweep, audited: Mask) -> Sweep:
        """Return the surface with the values of the audit in their places."""
        values, spread = found.values.copy(), found.spread.copy()
        values[:, audited] = self._exact.values[:, audited]
        spread[:, audited] = 0.0
        return replace(found, values=values, spread=spread)

    def _enqueue(self, points: Mask, asked: Asked) -> None:
        if asked is self._exact and self._few is not None:
            self._few.handed[points & ~asked.handed] = True  # with values on all samples come those on fewer
        works = list(asked.ask(points, origin_of(self._grid)))
        self._queue.extend(works)
        self._left += sum(map(len, works))
