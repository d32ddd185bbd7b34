"""A job of SLURM on two hosts that have networks and names of their own, and lose each other."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from lossgrid import store
from tests.conftest import ROOT
from tests.hosts.conftest import Hosts
from tests.pace import soon
from tests.slurm.conftest import JOBS, array, change, not_run
from tests.system.conftest import done_points
from tests.system.test_mpirun_script import executable

OPTIONS = (
    "--model", "users:net", "--data", "users:pictures", "--loss", "users:slow_loss", "--alpha", "-1:1:61",
    "--heartbeat", "3",
)  # fmt: skip


@pytest.fixture
def slurm(hosts: Hosts) -> Mapping[str, str]:
    """Start SLURM on host1 and host2, and return what its users have in their environment; it ends with the hosts."""
    folder = hosts.work / "slurm"
    script = shlex.quote(str(ROOT / "tests" / "slurm" / "cluster.sh"))
    with hosts.running("bash", "-c", f"HOSTS={hosts.folder} bash {script} start {folder}") as started:
        if started.end(60) != 0:
            not_run(f"no SLURM on hosts: {' '.join(started.said.split())}")
    program = f"#!{sys.executable}\nfrom lossgrid.cli.app import main\n\nmain()\n"
    place = executable(hosts.work / "bin" / "lossgrid", program).parent
    return {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{place}{os.pathsep}{os.environ['PATH']}"}


def facts(hosts: Hosts, slurm: Mapping[str, str], job: str) -> dict[str, str]:
    """Return what SLURM knows of a job."""
    said = hosts.on("host1", f"scontrol --oneliner show job {job}", env=slurm)
    return dict(field.split("=", 1) for field in said.split() if "=" in field)


@pytest.mark.campaign
@pytest.mark.parametrize(("launcher", "seconds"), [("srun", 30), ("mpirun", 60)])
def test_a_job_that_loses_a_host_ends_with_its_message(
    hosts: Hosts, slurm: Mapping[str, str], launcher: str, seconds: int
) -> None:
    sizes = {"nodes": "2", "ntasks-per-node": "1", "cpus-per-task": "1"}
    file = change(
        JOBS / "surface_cpu.sbatch", hosts.work / "job.sbatch", sbatch=sizes, launcher=launcher, options=array(OPTIONS)
    )
    out = hosts.work / "surface.h5"
    submit = f"cd {hosts.work} && SECONDS_PER_POINT=0.3 sbatch --parsable {file.name}"
    job = hosts.on("host1", submit, env=slurm).strip()
    log = hosts.work / f"surface-{job}.log"
    deadline = time.monotonic() + soon(60)
    while done_points(out) < 4:
        assert time.monotonic() < deadline, log.read_text() if log.exists() else facts(hosts, slurm, job)
        time.sleep(0.1)
    hosts.cut("host2")
    deadline = time.monotonic() + soon(seconds)
    while (ended := facts(hosts, slurm, job))["JobState"] == "RUNNING":
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    assert ended["ExitCode"] == "1:0", ended
    assert "error: rank 1 of 2 on host2 has not been heard from" in Path(ended["StdOut"]).read_text()
    hosts.await_no_ranks("host1", "host2")
    surface = store.read(out)
    assert 4 <= surface.done < surface.status.size
    assert {text.partition(":")[0] for text in surface.provenance["machines"]} == {"host1", "host2"}
