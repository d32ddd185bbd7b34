"""How much of the ideal the coordinator reaches with thousands of ranks: its real code on simulated messages.

    python benchmarks/simulation.py [--ranks 1,4,64,1024,4096,16384] [--shape 251,251] [--batches 16]
                                    [--latency 2,50] [--root-writes 0] [--json FILE]

What messages cost a rank is measured first on this machine, in shared memory and through TCP; that stands for ranks
on InfiniBand (no system call) and on Ethernet, whose ``--latency`` in microseconds is a setting. What the
coordinator's own code costs is measured while it runs in the simulation (``virtual.py``). Root looks at its mail
between ``--batches`` of its own points. ``--root-writes`` is what it needs to write a report, in microseconds, where it
writes for all (``writer.py`` measures it).

Two ideals: the work divided by all ranks, and what whole points allow: 63,001 points of 1 s on 4,096 ranks need
16 rounds, 16 s instead of 15.4 s. The target is 98 % of the latter for 4,096 ranks and equal points of 1 s.

The simulation itself is tried against ``coordinator.py``, which runs real ranks on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from heapq import heapify, heapreplace
from pathlib import Path
from typing import Any

import numpy as np
from virtual import Cluster, Costs

from lossgrid.parallel import Task, World, coordinate
from lossgrid.sampling import Everything
from lossgrid.surface import Work
from lossgrid.surface.lattice import works

TARGET, TARGET_RANKS = 0.98, 4096
NETWORKS = {"InfiniBand": "^tcp", "Ethernet": "self,tcp"}  # -> transports of Open MPI that stand for them
FEW, MANY = 8, 64  # ranks between which the cost of a look is compared
TRIAL = (1, 2, 4, 16, 64)  # ranks of the comparison with real ones
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Points:
    """What points cost.

    Attributes:
        seconds: The mean, on a rank of full speed.
        noise: Largest difference from it, as a fraction.
        slow: One rank in so many has half speed; 0: none.
    """

    seconds: float
    noise: float = 0.0
    slow: int = 0

    def costs(self, shape: tuple[int, int]) -> np.ndarray:
        """Return the seconds of each point on a rank of full speed, float64, ``shape``."""
        noise = np.random.default_rng(0).uniform(-self.noise, self.noise, shape)
        return self.seconds * (1 + noise)

    def slowness(self, rank: int) -> float:
        """Return how many times as long ``rank`` takes as one of full speed."""
        return 2.0 if self.slow and rank % self.slow == self.slow - 1 else 1.0


KINDS = {
    "equal points of 1 s": Points(1.0),
    "1 s, 10 % more or less, a rank in 50 at half speed": Points(1.0, 0.1, 50),
    "equal points of 0.1 s": Points(0.1),
}


def ideals(points: Points, shape: tuple[int, int], ranks: int) -> tuple[float, float]:
    """Return the seconds of two ideals: work divided by ranks, and whole points without any cost of sharing them.

    The second gives each point to the rank that will have finished it first.
    """
    costs, slowness = points.costs(shape), [points.slowness(rank) for rank in range(ranks)]
    divided = float(costs.sum()) / sum(1 / factor for factor in slowness)
    queue = [(points.seconds * factor, 0.0, factor) for factor in slowness]  # when it is expected to end, free, factor
    heapify(queue)
    end = 0.0
    for cost in costs.flat:
        _, free, factor = queue[0]
        free += cost * factor
        end = max(end, free)
        heapreplace(queue, (free + points.seconds * factor, free, factor))
    return divided, end


def simulate(
    ranks: int,
    points: Points,
    shape: tuple[int, int],
    costs: Costs,
    *,
    batches: int = 1,
    root_writes: float = 0.0,
    timer: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Share the points of a grid among virtual ranks; return shares of the ideals and where root's time went.

    Args:
        ranks: Their number.
        points: What points cost.
        shape: Of the grid.
        costs: What messages cost.
        batches: Parts of a point between which root looks at its mail.
        root_writes: Seconds root needs to write a report.
        timer: Tells what the ranks' own code takes, in seconds.
    """
    cluster = Cluster(ranks, costs, timer=timer)
    seconds = points.costs(shape)
    computed = np.zeros(shape, dtype=int)
    ends: dict[int, float] = {}

    def main(world: World) -> None:
        rank, slowness = world.comm, points.slowness(world.rank)
        parts = batches if world.is_root else 1  # a worker merely looks for signals in between

        def compute(row: int, column: int, tick: Callable[[], None]) -> np.ndarray:
            computed[row, column] += 1
            took = float(seconds[row, column]) * slowness
            for _ in range(parts):
                rank.work(took / parts)
                tick()
            return np.array([0.0, 0.0, 0.0, 0.0, took])

        def leave(work: Work, values: np.ndarray, *, rank: int) -> None:
            """Cost nothing: what this takes is a part of the points."""

        def collect(work: Work, values: np.ndarray, *, rank: int) -> None:  # noqa: ARG001
            world.comm.work(root_writes)

        plan = Everything(works(np.ones(shape, dtype=bool), (shape[0] // 2, shape[1] // 2))) if world.is_root else None
        assert coordinate(world, plan, Task(compute, leave, collect if root_writes else None, lambda: False))
        ends[world.rank] = rank.now

    cluster.run(main)
    assert (computed == 1).all()
    root, end = cluster.ranks[0], ends[0]
    divided, whole = ideals(points, shape, ranks)
    return {
        "ranks": ranks,
        "points": int(computed.size),
        "seconds": end,
        "share of ideal": divided / end,
        "share of attainable": whole / end,
        "root": {**root.account, "reports": root.received},
    }


def measured(transports: str) -> Costs:
    """Return what messages cost through these transports of Open MPI."""

    def run(ranks: int) -> dict[str, float]:
        return json.loads(mpirun(ranks, "messages.py", transports=transports))  # type: ignore[no-any-return]

    few, many = run(FEW)["probe"], run(MANY)["probe"]
    return Costs(**run(2), probe_rank=max(0.0, (many - few) / (MANY - FEW)))


def mpirun(ranks: int, program: str, *, transports: str) -> str:
    """Run a program of this folder on real ranks and return what it prints."""
    command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks), sys.executable, str(HERE / program)]
    transport = {"OMPI_MCA_btl": transports, "OMPI_MCA_btl_tcp_if_include": "lo"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | transport).stdout


def trial(costs: Costs) -> list[dict[str, float]]:
    """Return the shares of the ideal that real and virtual ranks reach with points of 10 ms."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "real.json"
        options = ["--milliseconds", "10", "--ranks", ",".join(map(str, TRIAL)), "--json", str(path)]
        subprocess.run([sys.executable, str(HERE / "coordinator.py"), *options], check=True, stdout=subprocess.DEVNULL)
        real = json.loads(path.read_text())["results"]
    rows = []
    for result in real:
        ranks = result["ranks"]
        virtual = simulate(ranks, Points(0.01), (ranks, result["points"] // ranks), costs)
        rows.append({"ranks": ranks, "real": result["share of ideal"], "simulated": virtual["share of ideal"]})
    return rows


def line(result: Mapping[str, Any]) -> str:
    """Return a result as a line of the table."""
    root, ideal, attainable = result["root"], 100 * result["share of ideal"], 100 * result["share of attainable"]
    return (
        f"{result['ranks']:>6} ranks: {result['seconds']:9.2f} s, {ideal:5.1f} % of the ideal, {attainable:5.1f} % of "
        f"the attainable; root: {root['reports']} reports, {root['messages'] + root['code']:.2f} s of coordinating"
    )


def main() -> None:
    """Measure the costs, simulate, compare with real ranks, and tell whether the target is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", default="1,4,64,1024,4096,16384")
    parser.add_argument("--shape", default="251,251")
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--latency", default="2,50", help="microseconds on InfiniBand and on Ethernet")
    parser.add_argument("--root-writes", type=float, default=0.0, help="microseconds; 0: the ranks write themselves")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows, columns = map(int, options.shape.split(","))
    here = {network: measured(transports) for network, transports in NETWORKS.items()}
    for network, costs in here.items():
        print(f"{network}:", ", ".join(f"{name} {1e6 * cost:.3g} us" for name, cost in asdict(costs).items()))
    comparison = trial(here["InfiniBand"])
    for row in comparison:
        print(f"{row['ranks']:>6} ranks here, points of 10 ms: {100 * row['real']:5.1f} % of the ideal, "
              f"simulated {100 * row['simulated']:5.1f} %", flush=True)  # fmt: skip
    results = []
    for (network, costs), latency in zip(here.items(), map(float, options.latency.split(",")), strict=True):
        for kind, points in KINDS.items():
            print(f"\n{network} with {latency:g} us, {kind}")
            for ranks in map(int, options.ranks.split(",")):
                result = simulate(
                    ranks, points, (rows, columns), replace(costs, latency=1e-6 * latency),
                    batches=options.batches, root_writes=1e-6 * options.root_writes,
                )  # fmt: skip
                results.append({"network": network, "latency": 1e-6 * latency, "kind": kind, **result})
                print(line(result), flush=True)
    if options.json is not None:
        from machine import describe

        report = {"measured costs, seconds": {network: asdict(costs) for network, costs in here.items()},
                  "batches": options.batches, "root writes, seconds": 1e-6 * options.root_writes,
                  "trial": comparison, "results": results, "machine": describe()}  # fmt: skip
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    targets = [result["share of attainable"] for result in results
               if result["ranks"] == TARGET_RANKS and KINDS[result["kind"]] == Points(1.0)]  # fmt: skip
    sys.exit(0 if min(targets, default=1.0) >= TARGET else 1)


if __name__ == "__main__":
    main()
