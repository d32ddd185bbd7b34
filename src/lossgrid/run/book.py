"""The surface file of a run while points are computed: created or resumed, with its sessions, closed with a report."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid import store
from lossgrid.parallel import World, collective, on_root
from lossgrid.run.budget import Budget
from lossgrid.run.claim import Claim
from lossgrid.sampling import Picture
from lossgrid.settings import RunConfig
from lossgrid.surface import NOT_FINITE, Origin, Quantity, Surface
from lossgrid.surface.refinement import Refinement, spent_in_words
from lossgrid.surface.summary import centre_of, lines_of_centre, lines_of_ranks, summarise
from lossgrid.wording import duration, of_shape

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Book:
    """The file on every rank; only root writes anything but points.

    Attributes:
        config: The settings.
        world: The ranks.
        quantities: The quantities of a point, in the order of its values.
        writer: ``parallel`` if all ranks write points, ``root`` if rank 0 writes for all.
        pending: True for points to compute, shape ``(n_beta, n_alpha)``, bool.
        identity: The identity of the file, to detect that another program has replaced it.
        old: The surface that the run resumes; None for a new file.
        digest: That of the network, the data and the directions.
    """

    config: RunConfig
    world: World
    quantities: Sequence[Quantity]
    writer: str
    pending: npt.NDArray[np.bool_]
    identity: store.Identity
    old: Surface | None
    digest: str

    @classmethod
    @collective
    def create_or_resume(cls, claim: Claim, quantities: Sequence[Quantity], origin: Origin) -> Book:
        """Create the file if the claim has no surface, else resume it; return its book.

        Raises:
            InputError: The file cannot be created.
            RankError: Another program replaced the file in the meantime.
        """
        writer = origin.writer or "root"
        make = _create if claim.old is None else _resume
        identity = on_root(claim.world, lambda: make(claim, quantities, origin))
        own = origin.digests
        digest = json.dumps([own.theta, own.delta, str(own.eta), sorted((own.data or {}).items())])
        return cls(claim.config, claim.world, quantities, writer, claim.pending, identity, claim.old, digest)

    @collective
    def open_session(self) -> float:
        """Write the start of a session into the file; return the seconds of the slowest point so far, 0 for a new file.

        Raises:
            RankError: Another program replaced the file.
        """

        def begin() -> float:
            self.identity.verify()
            store.begin_session(self.config.out, ranks=self.world.size)
            return float(np.nanmax(store.read(self.config.out).seconds, initial=0.0))

        return on_root(self.world, begin)

    def open_file(self) -> store.SurfaceFile | None:
        """Open the file for writing points; return None on a rank whose points root writes.

        Collective if all ranks write: all must call this.
        """
        if self.writer == "parallel":
            return store.SurfaceFile(self.config.out, self.quantities, self.world.comm)
        return store.SurfaceFile(self.config.out, self.quantities) if self.world.is_root else None

    @collective
    def close_session(self, *, seconds: float) -> None:
        """Write the end of a session and its duration in seconds into the file.

        Raises:
            RankError: Another program replaced the file.
        """

        def end() -> None:
            self.identity.verify()
            store.end_session(self.config.out, seconds=seconds)

        on_root(self.world, end)

    @collective
    def interpolate(self, picture: Picture | None, samples: int) -> None:
        """Write the values of points that were not computed; root alone has them, others give None.

        Args:
            picture: The whole surface.
            samples: Number of samples of the largest split, of which estimates have fewer.

        Raises:
            RankError: Another program replaced the file.
        """

        def write() -> None:
            if picture is None:
                return
            self.identity.verify()
            shape, names = self.config.grid.shape, [quantity.name for quantity in self.quantities]
            store.interpolate(
                self.config.out,
                replace(
                    picture.refinement,
                    tolerance=self.config.tolerance or 0.0,  # with the share of it that is kept for rounding
                    work=picture.work_of(samples) / picture.level.size,
                ),
                values={name: values.reshape(shape) for name, values in zip(names, picture.values, strict=True)},
                bars={name: bars.reshape(shape) for name, bars in zip(names, picture.bars, strict=True)},
                level=picture.level.reshape(shape),
                sampled=picture.sampled.reshape(shape),
            )

        on_root(self.world, write)

    @collective
    def close(
        self,
        complete: bool,
        rounding: Mapping[str, Any] | None,
        budget: Budget,
        why_not_finite: Callable[[float, float], str | None],
    ) -> None:
        """Mark the surface as complete if it is, and log a report.

        Args:
            complete: Whether all points are done.
            rounding: Differences of a lower precision from float32; None if the precision is not lower.
            budget: Returns why the run stopped early.
            why_not_finite: Returns why the loss at (alpha, beta) is not finite; None if the reason is not known.

        Raises:
            RankError: Another program replaced the file, or points are missing.
        """

        def finish() -> None:
            self.identity.verify()
            surface = store.read(self.config.out)
            if complete and not surface.complete:
                surface = store.finish(self.identity, rounding=rounding)
            _report(surface, complete, budget)
            _report_not_finite(surface, self.config, why_not_finite)

        on_root(self.world, finish)


def planned(config: RunConfig) -> Refinement:
    """Return the refinement that a run begins with."""
    assert config.tolerance
    return Refinement(config.tolerance, config.tolerance_of, samples=config.samples or 0)


def _create(claim: Claim, quantities: Sequence[Quantity], origin: Origin) -> store.Identity:
    config = claim.config
    identity = store.create(
        config.out,
        config.grid,
        quantities,
        config=origin.settings,
        provenance=origin.as_json(),
        overwrite=config.overwrite,
    )
    if config.is_refined:
        store.begin_refinement(config.out, quantities, planned(config))
    log.info("computing %s: %s points, writer %s", config.out, of_shape(config.grid.shape), origin.writer)
    return identity


def _resume(claim: Claim, quantities: Sequence[Quantity], origin: Origin) -> store.Identity:
    old, path = claim.old, claim.config.out
    assert old is not None
    if old.origin.threads != origin.threads:
        log.warning(
            "%s was computed with %s CPU threads per rank, now there are %s: last bits may differ",
            path, old.origin.threads, origin.threads,
        )  # fmt: skip
    if claim.pending.any() and claim.config.is_refined:
        store.begin_refinement(path, quantities, planned(claim.config))
    elif claim.pending.any() and old.complete:
        store.reopen(path)
    log.info("resuming %s: %d of %d points are pending", path, np.count_nonzero(claim.pending), claim.pending.size)
    for line in lines_of_centre(*centre_of(old)):
        log.info(line)
    return store.identify(path, old.id)


def _report(surface: Surface, complete: bool, budget: Budget) -> None:
    for line in lines_of_ranks(summarise(surface)["ranks"]):
        log.info(line)
    if surface.refinement is not None:
        log.info("%s", surface.refinement.in_words(surface.interpolated, surface.status.size))
        for line in spent_in_words(surface.refinement, surface.rounding if complete else None):
            log.info("%s", line)
    if complete:
        seconds = duration(float(np.nansum(surface.seconds)))
        log.info("%s is complete: %d points, %s of computing", surface.path, surface.status.size, seconds)
    elif not surface.pending:
        log.warning("stopped by %s before an audit; run the same command again to go on", budget.why)
    else:
        log.warning(
            "stopped by %s with %d of %d points pending; run the same command again to go on",
            budget.why, surface.pending, surface.status.size,
        )  # fmt: skip


def _report_not_finite(
    surface: Surface, config: RunConfig, why_not_finite: Callable[[float, float], str | None]
) -> None:
    bad = np.argwhere((surface.status == NOT_FINITE).reshape(config.grid.rows))
    if len(bad):
        reason = why_not_finite(*config.grid.at(*bad[0].tolist()))
        log.warning(
            "%d %s a loss that is not finite%s",
            len(bad),
            "point has" if len(bad) == 1 else "points have",
            f": {reason}" if reason else "",
        )
