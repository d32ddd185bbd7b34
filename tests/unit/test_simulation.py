"""The coordinator's real code among virtual ranks: many more than there are cores to run real ones."""

from typing import Any

import pytest

pytest.importorskip("greenlet")


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend("benchmarks")
    import simulation

    return simulation


def shared(simulation: Any, ranks: int, points: Any, shape: tuple[int, int], **costs: float) -> Any:
    """Share points among ranks whose own code takes no time: the same result every time."""
    return simulation.simulate(ranks, points, shape, simulation.Costs(**costs), batches=16, timer=lambda: 0.0)


@pytest.mark.parametrize("ranks", [1, 2, 3, 100])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (20, 31)], ids=str)
def test_every_point_is_computed_once_and_within_the_ideal(simulation: Any, ranks: int, shape: tuple[int, int]) -> None:
    result = shared(simulation, ranks, simulation.Points(1.0, noise=0.1, slow=3), shape)  # asserts the points itself
    assert result["points"] == shape[0] * shape[1]
    assert result["share of ideal"] <= 1 + 1e-9


def test_the_ideals_of_whole_points(simulation: Any) -> None:
    assert simulation.ideals(simulation.Points(1.0), (1, 9), 4) == pytest.approx((9 / 4, 3.0))
    # At half speed every second rank has one point when the others have two.
    assert simulation.ideals(simulation.Points(1.0, slow=2), (1, 6), 4) == pytest.approx((2.0, 2.0))


def test_equal_points_without_costs_take_the_attainable_time(simulation: Any) -> None:
    result = shared(simulation, 64, simulation.Points(1.0), (25, 25))
    assert result["share of attainable"] > 0.98


def test_slow_messages_cost_time(simulation: Any) -> None:
    quick, slow = (
        shared(simulation, 16, simulation.Points(0.1), (16, 16), latency=latency)["seconds"] for latency in (0.0, 1.0)
    )
    assert slow > quick + 1.0


def test_time_of_the_ranks_is_that_of_what_they_do(simulation: Any) -> None:
    result = shared(simulation, 1, simulation.Points(1.0), (2, 3), probe=1.0)  # alone nobody looks for mail
    assert result["seconds"] == pytest.approx(6.0)
    assert result["root"]["points"] == pytest.approx(6.0)


def test_the_same_run_twice(simulation: Any) -> None:
    points = simulation.Points(1.0, noise=0.1, slow=5)
    runs = [shared(simulation, 50, points, (30, 30), latency=1e-4, receive=1e-5, send=1e-5) for _ in range(2)]
    assert runs[0] == runs[1]


def test_among_thousands_root_only_coordinates(simulation: Any) -> None:
    few, many = (shared(simulation, ranks, simulation.Points(1.0), (64, 64))["root"] for ranks in (900, 1100))
    assert few["points"] > 0
    assert many["points"] == 0


def test_ranks_that_wait_for_ever_are_told(simulation: Any) -> None:
    def main(world: Any) -> None:
        while world.is_root and not world.comm.Iprobe(tag=1):
            world.comm.sleep(0.001)

    with pytest.raises(RuntimeError, match="1 of 3 ranks wait for ever, rank 0"):
        simulation.Cluster(3, simulation.Costs()).run(main)
