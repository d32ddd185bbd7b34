"""A soak: many points with several ranks, and what memory each has on the way.

    python -m tests.soak [--points 100] [--ranks 4] [--writer auto] [--model resnet20] [--samples 20]

Computes a plane of ``points`` x ``points`` on the built-in digits and prints the resident memory of every rank against
the points done. The exit code is 0 where between a tenth and all of the points no rank grew by more than ``ALLOWED``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.system.conftest import done_points, pid_of, running

ALLOWED = 4.0  # MiB, of arenas and fragments
LOOKS = 10


def resident(process: int) -> float:
    """Return the resident memory of a process, in MiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(process)


def soak(options: argparse.Namespace, folder: Path) -> list[tuple[int, list[float]]]:
    """Run the job, and return points done and memory by rank at the first point and at every tenth of all."""
    out = folder / "surface.h5"
    axis = f"-1:1:{options.points}"
    total = options.points**2
    command = (
        "lossgrid", "run", "--model", options.model, "--max-samples", options.samples, "--alpha", axis, "--beta", axis,
        "--writer", options.writer, "--out", out,
    )  # fmt: skip
    looks: list[tuple[int, list[float]]] = []
    with running(options.ranks, *command, cwd=folder) as job:
        while (done := done_points(out)) == 0 and job.poll() is None:
            time.sleep(0.05)
        processes = [pid_of(job.pid, rank) for rank in range(options.ranks)]
        due = 1
        while job.poll() is None and due < total:
            if (done := done_points(out)) >= due:
                looks.append((done, [resident(process) for process in processes]))
                due = (done * LOOKS // total + 1) * total // LOOKS
            time.sleep(0.02)
        _, said = job.communicate()
        assert job.returncode == 0, said
    return looks


def main() -> int:
    """Read the options, run the soak, print its table."""
    parser = argparse.ArgumentParser(description="Memory over many points; see the head of the file.")
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--writer", default="auto")
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--samples", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        looks = soak(options, Path(folder))
    ranks = range(options.ranks)
    print("| points done | " + " | ".join(f"rank {rank}, MiB" for rank in ranks) + " |")
    print("|---" * (options.ranks + 1) + "|")
    for done, memory in looks:
        print(f"| {done:,} | " + " | ".join(f"{own:.1f}" for own in memory) + " |")
    settled = looks[1]
    growth = [after - before for before, after in zip(settled[1], looks[-1][1], strict=True)]
    print(f"\ngrowth after {settled[0]:,} points: " + ", ".join(f"{own:+.1f} MiB" for own in growth))
    return int(max(growth) > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
