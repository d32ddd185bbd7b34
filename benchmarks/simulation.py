"""How much of the ideal the coordinator reaches with thousands of ranks: its real code on simulated messages.

    python -m benchmarks.simulation [--ranks 1,4,64,1024,4096,16384] [--shape 251,251] [--batches 16]
                                    [--latency 2,50] [--root-writes 0] [--json FILE]

What messages cost a rank is measured first on this machine, in shared memory and through TCP; that stands for ranks
on InfiniBand (no system call) and on Ethernet, whose ``--latency`` in microseconds is a setting. What the
coordinator's own code costs is measured while it runs in the simulation (``tests/virtual.py``). Root looks at its mail
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
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from tests.sharing import Points, simulate
from tests.virtual import Costs

TARGET, TARGET_RANKS = 0.98, 4096
NETWORKS = {"InfiniBand": "^tcp", "Ethernet": "self,tcp"}  # -> transports of Open MPI that stand for them
FEW, MANY = 8, 64  # ranks between which the cost of a look is compared
TRIAL = (1, 2, 4, 16, 64)  # ranks of the comparison with real ones
HERE = Path(__file__).parent
KINDS = {
    "equal points of 1 s": Points(1.0),
    "1 s, 10 % more or less, a rank in 50 at half speed": Points(1.0, 0.1, 50),
    "equal points of 0.1 s": Points(0.1),
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
        report = {"measured costs, seconds": {network: asdict(costs) for network, costs in here.items()},
                  "batches": options.batches, "root writes, seconds": 1e-6 * options.root_writes,
                  "trial": comparison, "results": results, "machine": describe()}  # fmt: skip
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    targets = [result["share of attainable"] for result in results
               if result["ranks"] == TARGET_RANKS and KINDS[result["kind"]] == Points(1.0)]  # fmt: skip
    sys.exit(0 if min(targets, default=1.0) >= TARGET else 1)


if __name__ == "__main__":
    main()
