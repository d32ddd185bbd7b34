"""A real SLURM for the tests: two virtual nodes, started once, and the project's own job files submitted to it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment

FILES = ROOT / "src" / "lossgrid" / "job_files"
JOBS = FILES / "slurm"
SCRIPT = ROOT / "tests" / "slurm" / "cluster.sh"
FROM, TO = "# ---- change from here ----\n", "# ---- to here ----\n"

# Two virtual nodes have one host name, over which Open MPI would try shared memory: they have to use the network.
NETWORK = {"OMPI_MCA_btl": "self,tcp", "OMPI_MCA_btl_tcp_if_include": "lo"}


@dataclass(frozen=True)
class Cluster:
    """The running cluster.

    Attributes:
        configuration: Its slurm.conf.
    """

    configuration: Path

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a user of the cluster, who has lossgrid in PATH; it is that of the jobs too."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"SLURM_CONF": str(self.configuration), "PATH": path, **NETWORK}
        return environment({**own, **(extra or {})})

    def run(self, *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        """Run a command of SLURM's, which must succeed, and return what it says."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd, env=self.environment(env), text=True, capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def submit(self, file: Path, env: Mapping[str, str] | None = None) -> str:
        """Submit a job file from its folder and return the number of the job."""
        return self.run("sbatch", "--parsable", file.name, cwd=file.parent, env=env).strip()

    def job(self, number: str) -> dict[str, str]:
        """Return what SLURM knows of a job, or of an element of an array."""
        said = self.run("scontrol", "--oneliner", "show", "job", number)
        return dict(field.split("=", 1) for field in said.split() if "=" in field)

    def wait(self, number: str, reached: Callable[[dict[str, str]], bool], timeout: float = 60) -> dict[str, str]:
        """Wait until ``reached`` is true of a job, and return what SLURM then knows of it."""
        deadline = time.monotonic() + timeout
        while not reached(job := self.job(number)):
            if time.monotonic() > deadline:
                log = Path(job.get("StdOut", ""))
                said = log.read_text() if log.is_file() else "no log"
                raise AssertionError(f"not reached within {timeout} s: {job}\n{said}")
            time.sleep(0.2)
        return job

    def end(self, number: str, timeout: float = 60) -> dict[str, str]:
        """Wait for the end of a job."""
        return self.wait(number, lambda job: has_ended(job), timeout)


def has_ended(job: Mapping[str, str]) -> bool:
    """Tell whether a job is over; one that goes back to the queue is not."""
    return job["JobState"] in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start the cluster, and end it with the tests. Where it cannot start, tests say so; in CI that is a failure."""
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run(["bash", SCRIPT, "start", folder], text=True, capture_output=True, timeout=60, check=False)
    if started.returncode != 0:
        reason = f"NOT RUN: no SLURM here: {' '.join(started.stderr.split())}"
        if os.environ.get("LOSSGRID_NEED_SLURM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    yield Cluster(folder / "slurm.conf")
    subprocess.run(["bash", SCRIPT, "stop", folder], timeout=60, check=True)


def block_of(text: str) -> tuple[str, str, str]:
    """Split a job file: what comes before the part its user changes, that part, what comes after."""
    before, block = text.split(FROM)
    block, after = block.split(TO)
    return before + FROM, block, TO + after


def change(source: Path, target: Path, *, sbatch: Mapping[str, str] | None = None, **variables: str) -> Path:
    """Copy a job file with other values in the part that its user changes, and everything else as it is.

    Args:
        source: The file of the project.
        target: The copy.
        sbatch: Options of ``#SBATCH`` lines, such as ``{"nodes": "1"}``.
        variables: Shell variables, as the shell reads them; see :func:`array`. Where nothing is said, there is no
            checkpoint and the surface is ``surface.h5``.
    """
    before, block, after = block_of(source.read_text())
    usual = {"checkpoint": "", "out": "surface.h5"}
    variables = {name: usual[name] for name in usual if re.search(rf"^{name}=", block, re.MULTILINE)} | variables
    changes = {rf"^#SBATCH --{option}=(\S+)": value for option, value in (sbatch or {}).items()}
    changes |= {rf'^{name}=(\([^#\n]*\)|\(.*?^\)|"[^"\n]*"|[^\s#]*)': value for name, value in variables.items()}
    for pattern, value in changes.items():
        found = list(re.finditer(pattern, block, flags=re.MULTILINE | re.DOTALL))
        assert len(found) == 1, f"{source.name} has {len(found)} lines like {pattern}"
        block = block[: found[0].start(1)] + value + block[found[0].end(1) :]
    target.write_text(before + block + after)
    return target


def array(parts: Sequence[object]) -> str:
    """Write an array as the shell reads it."""
    return f"({shlex.join(map(str, parts))})"
