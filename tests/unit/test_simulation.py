"""The coordinator's real code among virtual ranks: many more than there are cores to run real ones."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("greenlet")

from lossgrid.sampling import Refine, Tolerance
from lossgrid.surface import Axis, Grid
from lossgrid.surface.quantity import loss
from tests.sharing import Points, ideals, simulate
from tests.virtual import Cluster, Costs


def shared(ranks: int, points: Points, shape: tuple[int, int], **costs: float) -> dict[str, Any]:
    """Share points among ranks whose own code takes no time: the same result every time."""
    return simulate(ranks, points, shape, Costs(**costs), batches=16, timer=lambda: 0.0)


@pytest.mark.parametrize("ranks", [1, 2, 3, 100])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (20, 31)], ids=str)
def test_every_point_is_computed_once_and_within_the_ideal(ranks: int, shape: tuple[int, int]) -> None:
    result = shared(ranks, Points(1.0, noise=0.1, slow=3), shape)  # asserts the points itself
    assert result["points"] == shape[0] * shape[1]
    assert result["share of ideal"] <= 1 + 1e-9


def test_the_ideals_of_whole_points() -> None:
    assert ideals(Points(1.0), (1, 9), 4) == pytest.approx((9 / 4, 3.0))
    # At half speed every second rank has one point when the others have two.
    assert ideals(Points(1.0, slow=2), (1, 6), 4) == pytest.approx((2.0, 2.0))


def test_equal_points_without_costs_take_the_attainable_time() -> None:
    result = shared(64, Points(1.0), (25, 25))
    assert result["share of attainable"] > 0.98


@pytest.mark.parametrize("ranks", [2, 3, 4, 20])
def test_ranks_of_different_speed_end_within_one_point_of_each_other(ranks: int) -> None:
    """On clocks that nothing disturbs; ``tests/parallel`` has real ranks do it."""
    points = Points(1.0, slow=ranks)  # the last rank has half speed
    result = shared(ranks, points, (12, 15), latency=1e-4, receive=1e-5, send=1e-5)
    assert result["apart"] < 2.0 + 0.01
    assert result["share of attainable"] > 0.95


def test_slow_messages_cost_time() -> None:
    quick, slow = (shared(16, Points(0.1), (16, 16), latency=latency)["seconds"] for latency in (0.0, 1.0))
    assert slow > quick + 1.0


def test_time_of_the_ranks_is_that_of_what_they_do() -> None:
    result = shared(1, Points(1.0), (2, 3), probe=1.0)  # alone nobody looks for mail
    assert result["seconds"] == pytest.approx(6.0)
    assert result["root"]["points"] == pytest.approx(6.0)


def test_the_same_run_twice() -> None:
    points = Points(1.0, noise=0.1, slow=5)
    runs = [shared(50, points, (30, 30), latency=1e-4, receive=1e-5, send=1e-5) for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.slow
def test_among_thousands_root_only_coordinates() -> None:
    few, many = (shared(ranks, Points(1.0), (64, 64))["root"] for ranks in (900, 1100))
    assert few["points"] > 0
    assert many["points"] == 0


@pytest.mark.parametrize("ranks", [1, 3, 40])
def test_a_refined_plan_ends_with_the_same_points_among_any_ranks(ranks: int) -> None:
    grid = Grid(Axis(-1, 1, 25), Axis(-1, 1, 25))
    x = np.linspace(-1, 1, 25)
    values = (0.1 + x**2 + 2 * x[:, np.newaxis] ** 2)[np.newaxis]

    def make() -> Refine:
        return Refine(grid, [loss("train")], Tolerance(0.01), digest="a run")

    few = simulate(ranks, Points(1.0), grid.rows, Costs(latency=1e-4), timer=lambda: 0.0, plan=make, values=values)
    alone = simulate(1, Points(1.0), grid.rows, Costs(), timer=lambda: 0.0, plan=make, values=values)
    assert few["points"] == alone["points"] < 625
    assert few["share of ideal"] <= 1 + 1e-9


def test_ranks_that_wait_for_ever_are_told() -> None:
    def main(world: Any) -> None:
        while world.is_root and not world.comm.Iprobe(tag=1):
            world.comm.sleep(0.001)

    with pytest.raises(RuntimeError, match="1 of 3 ranks wait for ever, rank 0"):
        Cluster(3, Costs()).run(main)
