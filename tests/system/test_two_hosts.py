"""Two hosts on this machine, each with a network of its own: ranks that share points over it, and a host that is lost.

Needs root and ``ip`` (iproute2), to make network namespaces, and Open MPI, which starts ranks on other hosts by a
program of the user's choice.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from lossgrid import store
from tests.conftest import environment
from tests.slurm.conftest import FILES, array, change
from tests.system.conftest import wait_for_points
from tests.system.test_mpirun_script import executable

RUN = (
    "--model", "users:net", "--data", "users:pictures", "--loss", "users:slow_loss", "--alpha", "-1:1:31",
    "--writer", "root", "--heartbeat", "3",
)  # fmt: skip
NAMES = ("lossgrid1", "lossgrid2")
AGENT = """#!/bin/bash
# What ssh is elsewhere: the host, then the command for its shell.
host=$1
shift
ip netns exec "$host" unshare --uts bash -c 'hostname "$0" && exec bash -c "$1"' "$host" "$*"
code=$?
# Of a host that is lost, ssh hears nothing: it waits.
while [ -e "$(dirname "$0")/$host.lost" ]; do sleep 0.2; done
exit $code
"""


def ip(*arguments: str) -> bool:
    return subprocess.run(["ip", *arguments], check=False, capture_output=True).returncode == 0


def processes_of(name: str) -> list[int]:
    done = subprocess.run(["ip", "netns", "pids", name], check=False, capture_output=True, text=True)
    return [int(line) for line in done.stdout.split()]


def remove(names: tuple[str, ...]) -> None:
    for name in names:
        for process in processes_of(name):
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        ip("netns", "del", name)
        shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)


def connected() -> bool:
    """Connect the hosts by a cable, and let each find the other by its name; tell whether that works."""
    made = ip("netns", "add", NAMES[1])
    made &= ip("link", "add", "eth0", "netns", NAMES[0], "type", "veth", "peer", "name", "eth0", "netns", NAMES[1])
    lines = ["127.0.0.1 localhost", *(f"10.77.0.{number} {name}" for number, name in enumerate(NAMES, start=1))]
    for number, name in enumerate(NAMES, start=1):
        made &= ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            made &= ip("-n", name, "link", "set", device, "up")
        folder = Path(f"/etc/netns/{name}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "hosts").write_text("\n".join(lines) + "\n")
    return made and all(
        ip("netns", "exec", name, "unshare", "--uts", "getent", "hosts", other) for name in NAMES for other in NAMES
    )


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Path]:
    """Make two hosts that reach each other by their names; return the file in which mpirun finds them."""
    if (
        shutil.which("mpirun") is None
        or "Open MPI" not in subprocess.run(["mpirun", "--version"], check=False, capture_output=True, text=True).stdout
    ):
        pytest.skip("NOT RUN: the launcher is not that of Open MPI")
    if os.geteuid() != 0 or shutil.which("ip") is None or not ip("netns", "add", NAMES[0]):
        pytest.skip("NOT RUN: network namespaces need root and iproute2")
    try:
        if not connected():
            pytest.skip("NOT RUN: network namespaces cannot be connected here")
        listed = tmp_path / "hosts"
        listed.write_text("".join(f"{name} slots=1\n" for name in NAMES))
        yield listed
    finally:
        remove(NAMES)


def job(folder: Path, hosts: Path, **env: str) -> subprocess.Popen[str]:
    """Start a copy of lossgrid job mpirun on the first host, for a rank on each."""
    executable(folder / "bin" / "lossgrid", f"#!{sys.executable}\nfrom lossgrid.cli.app import main\n\nmain()\n")
    agent = executable(folder / "bin" / "agent", AGENT)
    copy = change(FILES / "mpirun.sh", folder / "mpirun.sh", ranks="2", hosts=str(hosts), options=array(list(RUN)))
    copy.write_text(re.sub(r"^linger=\d+", "linger=4", copy.read_text(), flags=re.MULTILINE))
    own = {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "OMPI_MCA_plm_rsh_agent": str(agent),
        "SECONDS_PER_POINT": "0.3",
    }
    return subprocess.Popen(
        [agent, NAMES[0], f"cd {folder} && exec bash {copy}"],
        cwd=folder, env=environment({**own, **env}), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def test_ranks_of_two_hosts_share_the_points_and_a_lost_host_ends_the_job(tmp_path: Path, hosts: Path) -> None:
    out = tmp_path / "surface.h5"
    with job(tmp_path, hosts) as lost:
        wait_for_points(lost, out, 6)
        mark = tmp_path / "bin" / f"{NAMES[1]}.lost"
        mark.touch()
        assert ip("-n", NAMES[1], "link", "set", "eth0", "down")  # no packet tells that it is gone
        for process in processes_of(NAMES[1]):
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        began = time.monotonic()
        try:
            lost.wait(timeout=90)
        finally:
            mark.unlink()
        _, said = lost.communicate(timeout=30)
    assert time.monotonic() - began < 60
    assert "a machine is lost, so mpirun is ended" in said
    assert lost.returncode == 1, said
    assert f"rank 1 of 2 on {NAMES[1]} has not been heard from" in said
    surface = store.read(out)
    assert 6 <= surface.done < surface.status.size
    assert set(np.unique(surface.rank[surface.computed])) <= {0, 1}

    assert ip("-n", NAMES[1], "link", "set", "eth0", "up")
    with job(tmp_path, hosts, SECONDS_PER_POINT="0.05") as again:
        _, said = again.communicate(timeout=90)
    assert again.returncode == 0, said
    whole = store.read(out)
    assert whole.complete
    kept = surface.computed
    np.testing.assert_array_equal(whole["train_loss"][kept], surface["train_loss"][kept])
    assert set(whole.rank.tolist()) == {0, 1}
    machines = whole.provenance["machines"]
    assert {text.partition(":")[0] for text in machines} == set(NAMES)
