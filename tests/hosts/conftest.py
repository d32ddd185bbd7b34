"""Three hosts on this machine, made by ``hosts.sh``, and jobs of Open MPI on them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT, command_line, environment
from tests.pace import soon
from tests.system.conftest import inside  # noqa: F401  # fixtures
from tests.system.test_held_up import slow_open  # noqa: F401

SCRIPT = ROOT / "tests" / "hosts" / "hosts.sh"
NAMES = ("host1", "host2", "host3")
PYTHON = f"^{sys.executable} "  # begins the command lines of ranks and of their watchers


@dataclass(frozen=True)
class Job:
    """A command on a host.

    Attributes:
        process: The process that waits for it.
        output: The file with all that it writes. A pipe would stay open with the processes on a lost host.
    """

    process: subprocess.Popen[bytes]
    output: Path

    @property
    def said(self) -> str:
        """What it has written so far."""
        return self.output.read_text()

    def end(self, seconds: float = 60) -> int:
        """Wait for its end and return the exit code."""
        try:
            return self.process.wait(timeout=soon(seconds))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended within {seconds} s: {self.said}") from None

    def await_text(self, text: str, seconds: float = 30, count: int = 1) -> None:
        """Wait until it has written ``text`` ``count`` times."""
        deadline = time.monotonic() + soon(seconds)
        while self.said.count(text) < count:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)


@dataclass(frozen=True)
class Hosts:
    """The running hosts.

    Attributes:
        folder: Where ``hosts.sh`` has its files.
        work: The working folder of jobs, which all hosts see.
    """

    folder: Path
    work: Path

    def on(self, host: str, command: str, env: Mapping[str, str] | None = None) -> str:
        """Run a shell command on a host, which must succeed, and return what it prints."""
        done = subprocess.run(
            [self.folder / "enter", host, command],
            env=environment(env), text=True, capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def name(self, host: str, text: str) -> None:
        """Write the ``/etc/hosts`` of a host."""
        (self.folder / f"{host}.names").write_text(f"127.0.0.1 localhost\n{text}\n")

    def cut(self, host: str) -> None:
        """Cut the cable of a host; no packet tells the others."""
        self.on("switch", f"ip link set {host} down")

    def mend(self, host: str) -> None:
        """Connect the cable of a host again, and wait until it and host1 reach each other."""
        self.on("switch", f"ip link set {host} up")
        for one, other in ((host, "host1"), ("host1", host)):
            refused = f"timeout 1 bash -c 'exec 3<> /dev/tcp/{other}/9' 2>&1 | grep -q refused"
            self.on(one, f"until {refused}; do sleep 0.1; done")

    def signal(self, host: str, name: str) -> None:
        """Send a signal to all that runs on a host: ranks, their watchers, the daemon of Open MPI."""
        self.on("switch", f"pkill --signal {name} {self._of(host)} -f 'orted|prted|{PYTHON}'")

    def ranks_on(self, host: str) -> list[str]:
        """Return the processes of ranks and of their watchers on a host."""
        return self.on("switch", f"pgrep --list-full {self._of(host)} -f '{PYTHON}' || true").splitlines()

    def await_no_ranks(self, *names: str, seconds: float = 10) -> None:
        """Wait until no rank and no watcher of one is left on some hosts."""
        deadline = time.monotonic() + soon(seconds)
        for host in names:
            while left := self.ranks_on(host):
                assert time.monotonic() < deadline, left
                time.sleep(0.1)

    def _of(self, host: str) -> str:
        """Return what ``pgrep`` is told to look at the processes of a host alone."""
        return f"--ns {(self.folder / host).read_text().strip()} --nslist net"

    @contextmanager
    def running(self, *command: str | Path, host: str = "host1", env: Mapping[str, str] | None = None) -> Iterator[Job]:
        """Start a command on a host; what is left of it when the block ends, ends with the hosts."""
        output = self.work / f"output-{time.monotonic_ns()}"
        agent = str(self.folder / "agent")
        own = {"OMPI_MCA_plm_rsh_agent": agent, "PRTE_MCA_plm_ssh_agent": agent, **(env or {})}
        there = f"cd {shlex.quote(str(self.work))} && exec {shlex.join(map(str, command))}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [self.folder / "enter", host, there],
                env=environment(own), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            yield Job(process, output)
        finally:
            process.kill()
            process.wait()

    def mpirun(self, slots: Mapping[str, int], *command: object) -> list[str]:
        """Return the command line that starts ``slots[host]`` ranks on each host."""
        listed = self.listed(slots)
        line = command_line(sum(slots.values()), [str(part) for part in command])
        return [line[0], "--hostfile", str(listed), "--bind-to", "none", *line[1:]]

    def listed(self, slots: Mapping[str, int]) -> Path:
        """Return a file that names hosts and their slots, as Open MPI reads it."""
        path = self.work / "hosts.txt"
        path.write_text("".join(f"{host} slots={count}\n" for host, count in slots.items()))
        return path

    def run(
        self, slots: Mapping[str, int], *command: object, env: Mapping[str, str] | None = None, seconds: float = 60
    ) -> tuple[int, str]:
        """Run a parallel job to its end; return its exit code and its output."""
        with self.running(*self.mpirun(slots, *command), env=env) as job:
            return job.end(seconds), job.said


def not_run(reason: str) -> None:
    """Skip the test, or fail it where hosts are needed."""
    if os.environ.get("LOSSGRID_NEED_HOSTS") == "1":
        pytest.fail(f"NOT RUN: {reason}")
    pytest.skip(f"NOT RUN: {reason}")


def start_hosts(folder: Path) -> subprocess.Popen[str]:
    """Start the hosts, or skip the test where that is not possible."""
    missing = [name for name in ("mpirun", "ip", "nsenter", "unshare", "setpriv") if shutil.which(name) is None]
    if missing:
        not_run(f"hosts need {', '.join(missing)}")
    if "Open MPI" not in subprocess.run(["mpirun", "--version"], check=False, capture_output=True, text=True).stdout:
        not_run("hosts need the mpirun of Open MPI")
    if os.geteuid() != 0:
        not_run("network namespaces need root")
    process = subprocess.Popen(
        ["bash", SCRIPT, "start", str(len(NAMES)), folder],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        _, said = process.communicate(timeout=30)
        not_run(f"hosts cannot be made here: {' '.join(said.split())}")
    return process


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Make three hosts; all their processes end with the test, or with this process."""
    folder, work = tmp_path / "hosts", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    process = start_hosts(folder)
    try:
        yield Hosts(folder, work)
    finally:
        process.communicate(timeout=30)  # the end of its input ends it


def slots(counts: Sequence[int]) -> dict[str, int]:
    """Return the number of ranks on each of the first hosts."""
    return dict(zip(NAMES, counts, strict=False))
