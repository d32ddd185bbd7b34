"""Turn-taking between root and workers, played by hand: what arrives late, crosses on the way, or leaves first.

Root runs its own code; the workers are played. Messages and clocks are simulated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("greenlet")

from lossgrid.parallel import Task, coordinate
from lossgrid.parallel.mail import IDLE, LEFT, REPORT_TAG, SHARE_TAG, STOP_TAG, WANTS_STOP, Report, receive_share
from lossgrid.parallel.root import Root
from lossgrid.sampling import Everything
from lossgrid.surface import Results, Work
from tests.builders import a_point
from tests.virtual import Cluster, Costs

Play = Callable[[Any], None]


class Played:
    """A worker in the hands of a test."""

    def __init__(self, world: Any) -> None:
        self.comm, self.ticket = world.comm, 1

    def waits_for(self, tag: int) -> Any:
        """Wait for a share or a stop; return the share."""
        while not self.comm.Iprobe(source=0, tag=tag):
            self.comm.sleep(0.001)
        if tag == SHARE_TAG:
            return receive_share(self.comm, 0)
        self.comm.Recv(np.empty(0, dtype=np.int64), source=0, tag=tag)
        return None

    def reports(self, work: Work | None = None, flags: int = 0, *, asks: bool = False) -> None:
        self.ticket += asks
        count = len(work) if work else 0
        numbers = np.array([[column] for column in (work.columns if work else ())], dtype=np.float64)
        results = Results(work, numbers, np.zeros((count, 1)), np.ones(count)) if work else None
        self.comm.Send(Report(self.ticket, flags, results).packed(), dest=0, tag=REPORT_TAG)


class Told:
    """What root was told, and what became of it."""

    def __init__(self) -> None:
        self.values: dict[int, float] = {}
        self.complete: bool | None = None

    def collect(self, results: Results, *, rank: int) -> None:
        for column, value in zip(results.work.columns, results.values[:, 0], strict=True):
            assert column not in self.values, "a point arrived twice"
            self.values[column] = float(value)


def play(plan: Any, *workers: Play, computes: bool = False, left: Callable[[], float] | None = None) -> Told:
    """Let root coordinate ``workers``; it computes no points itself unless it ``computes``."""
    told = Told()

    def main(world: Any) -> None:
        if not world.is_root:
            workers[world.rank - 1](Played(world))
            return

        def evaluate(work: Work, tick: Callable[[], object]) -> Results:
            world.comm.work(1.0)
            tick()
            return a_point(work, work.start)

        task = Task(evaluate, told.collect, told.collect, seconds_left=left or (lambda: 1e9))
        root = Root(world, plan, task, 0.0, lambda _: None)
        if not computes:
            root._next_share = lambda: None  # type: ignore[method-assign]
        told.complete = root.run()

    Cluster(len(workers) + 1, Costs(latency=0.01), timer=lambda: 0.0).run(main)
    return told


def works_well(worker: Any) -> None:
    """Compute what there is to the end."""
    while (share := worker.waits_for(SHARE_TAG)) is not None:
        worker.comm.work(0.5 * len(share))
        worker.reports(share, IDLE, asks=True)
    worker.reports(flags=LEFT)


def test_a_worker_that_asks_when_it_is_idle_gets_everything() -> None:
    told = play(Everything([Work(0, 0, 7)]), works_well)
    assert (told.complete, sorted(told.values)) == (True, list(range(7)))


def test_a_late_report_of_a_stopped_worker_counts() -> None:
    def stops(worker: Any) -> None:
        worker.waits_for(SHARE_TAG)
        worker.reports(flags=WANTS_STOP)
        worker.waits_for(STOP_TAG)
        worker.reports(flags=LEFT)

    def is_late(worker: Any) -> None:
        share = worker.waits_for(SHARE_TAG)
        worker.waits_for(STOP_TAG)
        worker.comm.work(3.0)
        worker.reports(share, LEFT)

    told = play(Everything([Work(0, 0, 40)]), stops, is_late)
    assert told.complete is False
    assert told.values


def test_a_stop_that_crosses_a_request_leaves_nobody_waiting() -> None:
    def asks(worker: Any) -> None:
        share = worker.waits_for(SHARE_TAG)
        worker.reports(share, IDLE, asks=True)  # on its way while root stops
        worker.waits_for(STOP_TAG)
        worker.reports(flags=LEFT)

    def stops(worker: Any) -> None:
        worker.waits_for(SHARE_TAG)
        worker.reports(flags=WANTS_STOP)
        worker.waits_for(STOP_TAG)
        worker.reports(flags=LEFT)

    assert play(Everything([Work(0, 0, 1000)]), asks, stops).complete is False


def test_a_worker_that_leaves_with_an_open_request_is_not_answered() -> None:
    def leaves(worker: Any) -> None:
        share = worker.waits_for(SHARE_TAG)
        worker.reports(share, LEFT, asks=True)
        worker.comm.sleep(5.0)
        assert not worker.comm.Iprobe(source=0, tag=SHARE_TAG)

    told = play(Everything([Work(0, 0, 9)]), leaves, works_well)
    assert (told.complete, sorted(told.values)) == (True, list(range(9)))


def test_a_request_made_ahead_waits_when_few_points_are_left() -> None:
    shares: list[int] = []

    def asks_ahead(worker: Any) -> None:
        share = worker.waits_for(SHARE_TAG)
        worker.reports(share, asks=True)  # not idle: it has work still
        worker.comm.sleep(1.0)
        assert not worker.comm.Iprobe(source=0, tag=SHARE_TAG)
        worker.reports(flags=IDLE)
        while share is not None:
            share = worker.waits_for(SHARE_TAG)
            shares.append(0 if share is None else len(share))
            worker.reports(share, IDLE, asks=True)
        worker.reports(flags=LEFT)

    told = play(Everything([Work(0, 0, 1), Work(0, 1, 2)]), asks_ahead)
    assert (told.complete, shares) == (True, [1, 0])


class InTwoWaves:
    """A plan whose second half depends on the values of the first."""

    def __init__(self, count: int) -> None:
        self.count, self.heard, self.given = count, 0, 0

    @property
    def remaining(self) -> int:
        return (self.count if self.heard < self.count else 2 * self.count) - self.given

    @property
    def is_over(self) -> bool:
        return self.given == 2 * self.count

    def ask(self, at_most: int) -> Work | None:
        count = min(at_most, self.remaining)
        if count <= 0:
            return None
        self.given += count
        return Work(0, self.given - count, self.given)

    def tell(self, results: Results) -> None:
        assert len(results.work) == len(results.values)
        self.heard += len(results.work)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("computes", [False, True])
def test_a_plan_may_have_no_points_before_others_are_computed(workers: int, computes: bool) -> None:
    told = play(InTwoWaves(6), *[works_well] * workers, computes=computes)
    assert (told.complete, sorted(told.values)) == (True, list(range(12)))


def test_a_plan_without_points_is_asked_again_only_after_results() -> None:
    """With thousands of ranks that wait, a question for each of them would take seconds."""

    class Counted(InTwoWaves):
        in_vain = told = 0

        def ask(self, at_most: int) -> Work | None:
            work = super().ask(at_most)
            self.in_vain += work is None
            return work

        def tell(self, results: Results) -> None:
            super().tell(results)
            self.told += 1

    plan = Counted(6)
    told = play(plan, *[works_well] * 50)
    assert (told.complete, sorted(told.values)) == (True, list(range(12)))
    assert 0 < plan.in_vain <= plan.told + 1


def test_results_of_root_release_the_workers_that_wait_for_them() -> None:
    plan, computed_by = InTwoWaves(12), [0, 0, 0, 0]

    def main(world: Any) -> None:
        def evaluate(work: Work, tick: Callable[[], object]) -> Results:
            computed_by[world.rank] += 1
            world.comm.work(5.0 if world.is_root else 0.1)  # the wave ends with root's points
            tick()
            return a_point(work, work.start, 5.0 if world.is_root else 0.1)

        def nothing(results: Results, *, rank: int) -> None:
            """Values do not matter here."""

        task = Task(evaluate, nothing, nothing if world.is_root else None, seconds_left=lambda: 1e9)
        assert coordinate(world, plan if world.is_root else None, task)

    Cluster(4, Costs(latency=0.002), timer=lambda: 0.0).run(main)
    assert sum(computed_by) == 24
    assert computed_by[0] <= 6
    assert min(computed_by[1:]) > 0


def test_real_workers_take_a_plan_of_waves_to_its_end() -> None:
    told, plan = Told(), InTwoWaves(20)

    def main(world: Any) -> None:
        def evaluate(work: Work, tick: Callable[[], object]) -> Results:
            world.comm.work(0.3)
            tick()
            return a_point(work, work.start, 0.3)

        def nothing(results: Results, *, rank: int) -> None:
            """Root collects."""

        write = told.collect if world.is_root else nothing
        task = Task(evaluate, write, told.collect, seconds_left=lambda: 1e9)
        assert coordinate(world, plan if world.is_root else None, task)

    Cluster(7, Costs(latency=0.002, probe=1e-6), timer=lambda: 0.0).run(main)
    assert sorted(told.values) == list(range(40))


def test_the_time_limit_stops_all_in_time() -> None:
    def obeys(worker: Any) -> None:
        share = worker.waits_for(SHARE_TAG)
        while share is not None:
            worker.comm.work(0.1)
            if worker.comm.Iprobe(source=0, tag=STOP_TAG):
                worker.waits_for(STOP_TAG)
                break
            worker.reports(share, IDLE, asks=True)
            while not (worker.comm.Iprobe(source=0, tag=SHARE_TAG) or worker.comm.Iprobe(source=0, tag=STOP_TAG)):
                worker.comm.sleep(0.001)
            share = worker.waits_for(SHARE_TAG) if worker.comm.Iprobe(source=0, tag=SHARE_TAG) else None
        worker.reports(flags=LEFT)

    looks = iter(range(10**9))
    told = play(Everything([Work(0, 0, 10**6)]), obeys, left=lambda: 1e3 if next(looks) < 50 else 0.0)
    assert told.complete is False
