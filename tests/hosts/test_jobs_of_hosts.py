"""Whole jobs on several hosts: one surface of all ranks, a cut link, hosts that differ."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lossgrid import store
from tests.conftest import need_writer
from tests.families import further
from tests.hosts.conftest import Hosts, Job, slots, start_hosts
from tests.pace import soon, stretch
from tests.slurm.conftest import FILES, array, change
from tests.system.conftest import Inside, assert_same_bytes, done_points
from tests.system.test_held_up import slow
from tests.system.test_mpirun_script import executable

Program = Callable[[str], Path]
RUN = ("run", "--model", "users:net", "--data", "users:pictures", "--alpha", "-1:1:61", "--out", "surface.h5")


def test_check_tells_the_hosts_and_the_local_ranks(hosts: Hosts) -> None:
    code, said = hosts.run(slots([2, 1]), "lossgrid", "check", ".")
    assert code == 0, said
    assert "3 on 2 hosts" in said
    rows = re.findall(r"^(\d) +(host\d) +(\d) ", said, re.MULTILINE)
    assert rows == [("0", "host1", "0"), ("1", "host1", "1"), ("2", "host2", "0")]
    assert "fit for runs" in said


def test_hosts_of_one_name_are_told_apart(hosts: Hosts) -> None:
    """As nodes that were started from one image; a kernel of its own is what each really has."""
    temporary = hosts.work / "tmp"
    temporary.mkdir()
    for number, host in enumerate(("host1", "host2"), start=1):
        kernel = hosts.work / f"kernel{number}"
        kernel.write_text(f"{number}\n")
        hosts.on(host, f"hostname node && mount --bind {kernel} /proc/sys/kernel/random/boot_id")
        hosts.on(host, f"mount -t tmpfs tmpfs {temporary}")  # Open MPI has a folder there, named after the host
    tell = "from lossgrid import parallel; print(f'[{parallel.join()}]')"
    code, said = hosts.run(slots([1, 1]), sys.executable, "-c", tell, env={"TMPDIR": str(temporary)})
    assert code == 0, said
    assert sorted(re.findall(r"\[(.*?)\]", said)) == ["rank 0 of 2 on node", "rank 1 of 2 on node#2"]


def test_three_hosts_write_one_surface_and_a_slow_open_on_one_ends_nothing(
    hosts: Hosts, slow_open: Path, inside: Inside, tmp_path: Path
) -> None:
    need_writer("parallel")
    pace = stretch()
    held_up = slow(slow_open, rank=2, end="surface.h5", seconds=5 * pace)
    code, said = hosts.run(
        slots([1, 1, 1]), "lossgrid", *RUN, "--loss", "users:slow_loss", "--writer", "parallel",
        "--batch-size", 60, "--heartbeat", 2 * pace, env=held_up,
    )  # fmt: skip
    assert code == 0, said
    assert "slow open of" in said
    assert "no TCP connection" not in said
    surface = store.read(hosts.work / "surface.h5")
    assert set(surface.rank.tolist()) == {0, 1, 2}
    assert {text.partition(":")[0] for text in surface.provenance["machines"]} == {"host1", "host2", "host3"}
    alone = inside(*RUN[:-1], "alone.h5", "--loss", "users:slow_loss", "--batch-size", 60)
    assert alone.returncode == 0, alone.stderr
    assert_same_bytes(hosts.work / "surface.h5", tmp_path / "alone.h5")


def mpirun_script(hosts: Hosts) -> list[str]:
    """Return the command of a copy of the file of lossgrid job mpirun for a rank on each of two hosts."""
    executable(hosts.work / "bin" / "lossgrid", f"#!{sys.executable}\nfrom lossgrid.cli.app import main\n\nmain()\n")
    options = (*RUN[1:-2], "--loss", "users:slow_loss", "--heartbeat", "3")
    copy = change(
        FILES / "mpirun.sh", hosts.work / "mpirun.sh",
        ranks="2", hosts=str(hosts.listed(slots([1, 1]))), options=array(options),
    )  # fmt: skip
    copy.write_text(re.sub(r"^linger=\d+", "linger=4", copy.read_text(), flags=re.MULTILINE))
    return ["bash", str(copy)]


def await_points(job: Job, out: Path, count: int) -> None:
    deadline = time.monotonic() + soon(30)
    while done_points(out) < count:
        assert job.process.poll() is None, job.said
        assert time.monotonic() < deadline, job.said
        time.sleep(0.02)


def plain_mpirun(hosts: Hosts) -> list[str]:
    return hosts.mpirun(slots([1, 1]), "lossgrid", *RUN, "--loss", "users:slow_loss", "--heartbeat", "3")


@pytest.mark.parametrize("started", [plain_mpirun, further(mpirun_script)])
def test_a_cut_link_ends_the_job_on_both_sides_and_the_same_command_goes_on(
    hosts: Hosts, started: Callable[[Hosts], list[str]]
) -> None:
    command, out = started(hosts), hosts.work / "surface.h5"
    path = {"PATH": f"{hosts.work / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    with hosts.running(*command, env={**path, "SECONDS_PER_POINT": "0.5"}) as lost:
        await_points(lost, out, 6)
        assert len(hosts.ranks_on("host2")) == 2
        hosts.cut("host2")
        code = lost.end(3 + 7 + 8 + 6)  # heartbeat, MPI_Abort, for mpirun to end, and some seconds
        assert code == (1 if started is mpirun_script else -signal.SIGKILL), lost.said
        assert "rank 1 of 2 on host2 has not been heard from" in lost.said
        assert re.search("ended and mpirun has not: .* lost", lost.said)
    hosts.await_no_ranks("host1", "host2")
    surface = store.read(out)
    assert 6 <= surface.done < surface.status.size
    assert set(np.unique(surface.rank[surface.computed])) <= {0, 1}

    hosts.mend("host2")
    with hosts.running(*command, env={**path, "SECONDS_PER_POINT": "0.02"}) as again:
        assert again.end() == 0, again.said
    whole = store.read(out)
    assert whole.complete
    kept = surface.computed
    np.testing.assert_array_equal(whole["train_loss"][kept], surface["train_loss"][kept])
    assert set(whole.rank.tolist()) == {0, 1}


@pytest.mark.campaign
def test_a_second_job_on_another_host_is_kept_out_where_locks_do_not_reach_it(hosts: Hosts, program: Program) -> None:
    slow_run, out = (*RUN, "--loss", "users:slow_loss"), hosts.work / "surface.h5"
    with hosts.running(sys.executable, "-m", "lossgrid", *slow_run, env={"SECONDS_PER_POINT": "3"}) as first:
        await_points(first, out, 1)
        with hosts.running(sys.executable, program("without_locks.py"), *slow_run, host="host2") as second:
            assert second.end() == 2, second.said
        assert re.search(r"surface\.h5 is in use by process \d+ on host1, and locks of this file system", second.said)
        assert first.process.poll() is None, first.said


def give_another_version(hosts: Hosts, package: str) -> None:
    """Let host2 have another version of a package, by what is recorded of its installation."""
    recorded = next(Path(torch.__file__).parents[1].glob(f"{package}-*.dist-info")) / "METADATA"
    other = hosts.work / "METADATA"
    other.write_text(re.sub(r"^Version: .*", "Version: 0.9", recorded.read_text(), flags=re.MULTILINE))
    hosts.on("host2", f"mount --bind {other} {recorded}")


def test_another_version_on_a_host_is_refused_by_run_and_told_by_check(hosts: Hosts) -> None:
    give_another_version(hosts, "numpy")
    differs = f"numpy is {np.__version__} in rank 0 and 0.9 in rank 1"
    code, said = hosts.run(slots([1, 1]), "lossgrid", *RUN)
    assert code == 2, said
    assert [line for line in said.splitlines() if differs in line and line.startswith("lossgrid: error: ")]
    assert not (hosts.work / "surface.h5").exists()

    hosts.on("host2", f"mount -t tmpfs tmpfs {hosts.work}")  # and a folder of its own
    code, said = hosts.run(slots([1, 1]), "lossgrid", "check", hosts.work)
    assert code == 1, said
    assert f"ERROR: {differs}" in said
    assert "rank 1 on host2 do not see what rank 0 made in the folder" in " ".join(said.split())


@pytest.mark.parametrize("writer", ["auto", further("parallel")])
def test_a_folder_that_each_host_has_of_its_own_hangs_nobody(hosts: Hosts, writer: str) -> None:
    need_writer("parallel")
    hosts.on("host2", f"mkdir {hosts.work}/own && mount -t tmpfs tmpfs {hosts.work}/own")
    code, said = hosts.run(slots([1, 1]), "lossgrid", *RUN[:-1], "own/surface.h5", "--writer", writer, seconds=40)
    assert "rank 1 cannot see what rank 0 makes in own" in said
    if writer == "parallel":
        assert code == 2, said
        assert not list((hosts.work / "own").iterdir())
    else:
        assert code == 0, said
        assert store.read(hosts.work / "own" / "surface.h5").complete


def test_nothing_is_left_of_hosts_whose_maker_is_killed(tmp_path: Path) -> None:
    made = start_hosts(tmp_path)
    room = (tmp_path / "room").read_text().strip()
    found = subprocess.run(["pgrep", "--parent", room], text=True, capture_output=True, check=True).stdout.split()
    made.kill()
    made.communicate(timeout=10)
    deadline = time.monotonic() + soon(5)
    while Path(f"/proc/{found[0]}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
