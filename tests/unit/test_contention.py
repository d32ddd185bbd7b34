"""How the ranks of a node share its cores and GPUs: how many threads each takes, and what is said where that is bad."""

import logging
import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch

from lossgrid.evaluation import choose_device, share_threads, warn_of_sharing
from lossgrid.machine import resources
from lossgrid.machine.contention import about_idle_gpus, about_sharing
from lossgrid.machine.resources import Resources, own_resources, sharers, with_threads
from lossgrid.parallel import alone
from lossgrid.run.resources import divide_resources, resources_of, with_equal_sets_once

NODE = frozenset(range(8))
HYPERTHREADS = frozenset(range(16))  # CPU n + 8 is the other thread of core n


def a_rank(rank: int = 0, *, cpus: frozenset[int] = NODE, **changes: Any) -> Resources:
    """Return a rank on a node of 8 cores, with 16 CPUs if it names those above 7."""
    fields: dict[str, Any] = {
        "rank": rank, "host": "n1", "device": "cpu", "uuid": "", "gpus": 0, "cpus": cpus,
        "cores": frozenset(cpu % 8 for cpu in cpus), "offered": NODE, "quota": None, "variables": {},
    }  # fmt: skip
    return Resources(**(fields | changes))


def threads(*ranks: Resources) -> list[int]:
    return [one.threads for one in with_threads(ranks)]


def said(*ranks: Resources) -> list[str]:
    return [finding.seen for finding in about_sharing(with_threads(ranks))]


def test_cores_are_divided_among_the_ranks_that_may_use_them() -> None:
    assert threads(*map(a_rank, range(3))) == [2] * 3
    assert threads(a_rank(0, cpus=frozenset({0, 1})), a_rank(1, cpus=frozenset({2, 3}))) == [2, 2]
    assert threads(a_rank(0), a_rank(1, cpus=frozenset({0}))) == [4, 1]
    assert threads(*map(a_rank, range(20))) == [1] * 20


def test_ranks_on_other_nodes_take_nothing_away() -> None:
    ranks = [a_rank(rank, host=f"n{rank % 2}") for rank in range(6)]
    assert threads(*ranks[:5]) == [2, 4, 2, 4, 2]
    assert [one.rank for one in with_threads(ranks)] == list(range(6))


def test_hyperthreads_are_no_cores() -> None:
    assert threads(a_rank(cpus=HYPERTHREADS)) == [8]
    assert threads(*(a_rank(rank, cpus=HYPERTHREADS) for rank in range(2))) == [4, 4]
    assert threads(a_rank(0, cpus=frozenset({0, 8})), a_rank(1, cpus=frozenset({1, 9}))) == [1, 1]
    assert threads(a_rank(0, cpus=frozenset({0})), a_rank(1, cpus=frozenset({8}))) == [1, 1]


def test_the_time_a_container_gets_is_divided_too() -> None:
    assert threads(a_rank(quota=4.0)) == [4]
    assert threads(a_rank(0, quota=4.5), a_rank(1, quota=4.5)) == [2, 2]
    assert threads(a_rank(quota=0.5)) == [1]
    assert threads(a_rank(quota=64.0)) == [8]


@pytest.mark.parametrize(("wish", "count"), [("3", 3), ("3,1", 3), (" 3 ", 3), ("32", 32)])
def test_omp_num_threads_wins(wish: str, count: int) -> None:
    assert threads(a_rank(variables={"OMP_NUM_THREADS": wish}, quota=2.0)) == [count]


@pytest.mark.parametrize("wish", ["", "0", "-1", "many", "²", "9" * 5000, "1e3"])
def test_omp_num_threads_that_is_no_number_does_not_count(wish: str) -> None:
    assert threads(a_rank(variables={"OMP_NUM_THREADS": wish})) == [8]


def test_nothing_is_said_where_nothing_is_wrong() -> None:
    assert said(a_rank()) == []
    assert said(*map(a_rank, range(8))) == []
    assert said(a_rank(cpus=HYPERTHREADS)) == []
    assert said(a_rank(quota=2.5)) == []
    assert said(*(a_rank(rank, cpus=frozenset([rank])) for rank in range(4))) == []
    assert said(a_rank(variables={"OMP_NUM_THREADS": "1"})) == []


def test_two_ranks_on_one_gpu_are_told() -> None:
    gpu = {"device": "H100", "uuid": "GPU-1", "gpus": 2}
    both = [a_rank(rank, **gpu) for rank in range(2)]
    assert said(*both)[0].startswith("2 ranks of a node share 1 GPU: ranks 0-1 on n1 (GPU-1)")
    assert said(a_rank(0, **gpu), a_rank(1, **gpu | {"uuid": "GPU-2"})) == []
    assert said(a_rank(0, **gpu), a_rank(1, **gpu, host="n2")) == []
    idle = list(about_idle_gpus(with_threads(both)))
    assert [finding.seen for finding in idle] == [
        "1 of the 2 GPUs of a node is used, by ranks 0-1 on n1: the others idle"
    ]


def test_four_ranks_of_four_threads_on_four_cores_are_told() -> None:
    four = frozenset(range(4))
    crowd = [a_rank(rank, cpus=four, offered=four, variables={"OMP_NUM_THREADS": "4"}) for rank in range(4)]
    assert said(*crowd) == ["16 threads share 4 cores: ranks 0-3 on n1. They take turns, and all are slower"]


def test_threads_take_turns_where_they_are_more_than_the_hyperthreads() -> None:
    wish = {"OMP_NUM_THREADS": "16"}
    assert said(a_rank(cpus=HYPERTHREADS, variables=wish)) == []
    both = [a_rank(rank, cpus=HYPERTHREADS, variables=wish) for rank in range(2)]
    assert said(*both)[0].startswith("32 threads share 8 cores (16 hyperthreads): ranks 0-1 on n1.")


def test_a_quota_below_the_threads_is_told() -> None:
    told = said(a_rank(quota=2.0, variables={"OMP_NUM_THREADS": "8"}))
    assert told[0].startswith(
        "rank 0 on n1 have 8 threads on a node, and their container or control group gets the time"
    )
    assert said(*(a_rank(rank, quota=2.0) for rank in range(4)))[0].startswith("ranks 0-3 on n1 have 4 threads")


def test_ranks_tied_to_one_core_are_told_where_more_are_there() -> None:
    bound = [a_rank(rank, cpus=frozenset([rank])) for rank in range(2)]
    assert said(*bound) == ["ranks 0-1 on n1 compute with 2 cores of 8 on a node: the others are idle"]
    granted = {"SLURM_CPUS_ON_NODE": "4"}  # of hyperthreads: two cores
    assert said(a_rank(cpus=frozenset({0, 8}), variables=granted)) == []


def test_a_process_without_launcher_is_not_tied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "own_cpus", lambda: frozenset({0}))
    monkeypatch.setattr(resources, "offered_cpus", lambda: frozenset(range(64)))
    monkeypatch.setattr(resources, "cores_of", frozenset)
    own = {"rank": 0, "host": "n1", "device": "cpu", "uuid": ""}
    assert own_resources(**own, launched=False).offered == {0}  # type: ignore[arg-type]
    assert len(own_resources(**own, launched=True).offered) == 64  # type: ignore[arg-type]


@pytest.fixture
def threads_restored() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads_restored")
def test_each_rank_takes_its_own_threads_and_one_speaks_for_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    crowd = [a_rank(rank, host=f"n{rank // 2}", variables={"OMP_NUM_THREADS": str(5 + rank)}) for rank in range(4)]
    assert [share_threads(crowd[2 * (rank // 2) :][:2], rank) for rank in range(4)] == [5, 6, 7, 8]
    assert torch.get_num_threads() == 8
    assert caplog.messages == []
    warn_of_sharing(crowd)
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "11 threads share 8 cores",
        "15 threads share 8 cores",
    ]
    assert "OMP_NUM_THREADS=5 asks for them: unset it" in caplog.messages[0]


def test_a_process_alone_may_leave_gpus_idle(caplog: pytest.LogCaptureFixture) -> None:
    gpus = {"device": "H100", "uuid": "GPU-1", "gpus": 4}
    warn_of_sharing([a_rank(**gpus)])
    assert caplog.messages == []
    warn_of_sharing([a_rank(**gpus), a_rank(1, **gpus | {"uuid": "GPU-2"})])
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "2 of the 4 GPUs of a node are used, by ranks 0-1 on n1"
    ]


def gpus(*uuids: str) -> list[Resources]:
    return [a_rank(rank, device="H100", uuid=uuid, gpus=len(set(uuids))) for rank, uuid in enumerate(uuids)]


def test_the_memory_of_a_gpu_is_shared_by_the_ranks_that_compute_on_it() -> None:
    each_its_own = gpus(*(f"GPU-{number}" for number in range(8)))
    assert [sharers(each_its_own, rank) for rank in range(8)] == [1] * 8
    uneven = gpus("GPU-0", "GPU-1", "GPU-0", "GPU-0")
    assert [sharers(uneven, rank) for rank in range(4)] == [3, 1, 3, 3]
    beside_a_cpu = [*uneven[:2], a_rank(2), a_rank(3)]
    assert [sharers(beside_a_cpu, rank) for rank in range(2)] == [1, 1]


def test_a_gpu_without_a_uuid_of_its_own_is_told_apart_by_its_host() -> None:
    ranks = [a_rank(rank, host=f"n{rank // 2}", device="P100", uuid="GPU-0", gpus=1) for rank in range(4)]
    assert [sharers(ranks, rank) for rank in range(4)] == [2] * 4


def test_the_memory_of_a_node_is_shared_by_all_its_ranks_on_cpus() -> None:
    ranks = [a_rank(rank, host="n1" if rank < 3 else "n2") for rank in range(5)]
    assert [sharers(ranks, rank) for rank in range(5)] == [3, 3, 3, 2, 2]


@pytest.mark.usefixtures("threads_restored")
@pytest.mark.parametrize(("uuids", "count"), [(["GPU-0", "GPU-1", "GPU-2"], 1), (["GPU-0", "GPU-1", "GPU-0"], 2)])
def test_ranks_tell_each_other_their_gpus(monkeypatch: pytest.MonkeyPatch, uuids: list[str], count: int) -> None:
    monkeypatch.setattr("lossgrid.run.resources.gather_on_node", lambda world, own: gpus(*uuids))
    monkeypatch.setattr("lossgrid.run.resources.gather_at_root", lambda world, own: None)
    world = replace(alone(), size=3, local_size=3)
    assert divide_resources(world, choose_device("cpu", "float32", local_rank=0))[1] == count


@pytest.mark.usefixtures("threads_restored")
def test_a_rank_alone_takes_what_the_computer_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    device, world = choose_device("cpu", "float32", local_rank=0), alone()
    own = resources_of(world, device)
    assert (own.device, own.uuid, own.host, own.rank) == ("cpu", "", world.host, 0)
    count, sharing = divide_resources(world, device)
    assert sharing == 1
    assert count == torch.get_num_threads() == threads(own)[0]
    assert 1 <= count <= len(own.cores)


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"OMP_PROC_BIND": "close"}, "OMP_PROC_BIND"),
        ({"OMP_PROC_BIND": "false", "OMP_PLACES": "cores"}, None),
        ({"OMP_PLACES": "cores"}, "OMP_PLACES"),
        ({"OMP_PROC_BIND": "FALSE", "GOMP_CPU_AFFINITY": "0-7"}, None),
        ({"GOMP_CPU_AFFINITY": "0-7"}, "GOMP_CPU_AFFINITY"),
        ({"KMP_AFFINITY": "granularity=fine,compact,1,0"}, "KMP_AFFINITY"),
        ({"KMP_AFFINITY": "none"}, None),
        ({}, None),
    ],
)
def test_threads_bound_to_cores_that_ranks_share_are_found(variables: dict[str, str], name: str | None) -> None:
    shared = said(a_rank(0, variables=variables), a_rank(1, variables=variables))
    assert [text.partition("=")[0] for text in shared] == ([] if name is None else [name])
    assert said(a_rank(0, variables=variables)) == []
    halves = (frozenset(range(4)), frozenset(range(4, 8)))
    assert said(*(a_rank(i, cpus=half, variables=variables) for i, half in enumerate(halves))) == []


def test_a_message_carries_equal_sets_of_cpus_once() -> None:
    ranks = [a_rank(rank, cpus=frozenset(range(256))) for rank in range(128)]
    ranks = [pickle.loads(pickle.dumps(one)) for one in ranks]  # as they come from the ranks
    once = with_equal_sets_once(ranks)
    assert once == ranks
    assert len(pickle.dumps(once)) < len(pickle.dumps(ranks)) / 5
