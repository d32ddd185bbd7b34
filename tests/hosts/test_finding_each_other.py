"""Ranks of several hosts find each other and hear from each other, whatever the names of their hosts lead to."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hosts.conftest import NAMES, Hosts, slots
from tests.pace import soon

PATIENCE = 2
FABRIC = {"OMPI_MCA_oob_tcp_if_include": "10.77.0.0/24", "OMPI_MCA_btl_tcp_if_include": "10.77.0.0/24"}
Program = Callable[[str], Path]


def named_127_0_1_1(hosts: Hosts) -> None:
    """Let each host know itself alone, as Debian and Ubuntu are installed."""
    for host in NAMES:
        hosts.name(host, f"127.0.1.1 {host}")


def drops_packets(hosts: Hosts) -> None:
    """Let names lead to a second network, of which each host has a card, and which drops all packets.

    The card sends them into a cable that leads nowhere, to hardware addresses that nobody has.
    """
    listed = "\n".join(f"10.88.0.{number} {host}" for number, host in enumerate(NAMES, start=1))
    for own, host in enumerate(NAMES, start=1):
        hosts.name(host, listed)
        card = "ip link add mgmt type veth peer name nowhere && ip link set nowhere up"
        hosts.on(host, f"{card} && ip addr add 10.88.0.{own}/24 dev mgmt && ip link set mgmt up")
        for number in {1, 2, 3} - {own}:
            hosts.on(host, f"ip neigh add 10.88.0.{number} lladdr 02:00:00:00:00:0{number} dev mgmt")


@pytest.mark.parametrize("names", [named_127_0_1_1, drops_packets])
def test_a_frozen_rank_is_found_whatever_the_names_of_hosts_lead_to(
    hosts: Hosts, program: Program, names: Callable[[Hosts], None]
) -> None:
    names(hosts)
    code, said = hosts.run(slots([1, 1, 1]), program("watching.py"), "freezes", soon(PATIENCE), env=FABRIC, seconds=20)
    assert code != 0
    assert "no TCP connection" not in said
    assert "error: rank 2 of 3 on host3 has not been heard from for" in said


def test_a_host_tells_all_addresses_of_its_cards(hosts: Hosts) -> None:
    hosts.on("host1", "ip addr add 10.99.0.1/24 dev eth0 && ip -6 addr add fd77::1/64 dev eth0 nodad")
    told = "from lossgrid.machine.network import own_addresses; print(*own_addresses('host1'))"
    found = hosts.on("host1", shlex.join([sys.executable, "-c", told])).split()
    assert sorted(found) == ["10.77.0.1", "10.99.0.1", "fd77::1"]


def test_a_port_scanner_keeps_no_rank_from_the_others(hosts: Hosts, program: Program) -> None:
    scanner = (sys.executable, program("scanner.py"), "20")
    with hosts.running(*scanner) as scan:
        code, said = hosts.run(slots([1, 1, 1]), program("watching.py"), "peace, and one comes late", soon(PATIENCE))
    assert code == 0, said
    assert re.search(r"port \d+ called", scan.said)
    assert said.endswith("all left\n")
    assert "no TCP connection" not in said


def test_a_host_that_is_suspended_ends_the_job_and_itself_when_it_goes_on(hosts: Hosts, program: Program) -> None:
    """As a virtual machine that is moved, or a laptop that sleeps."""
    patience = soon(PATIENCE)
    with hosts.running(*hosts.mpirun(slots([1, 1]), program("watching.py"), "waits", patience)) as job:
        job.await_text("began")
        hosts.signal("host2", "STOP")
        began = time.monotonic()
        job.await_text("error: rank 1 of 2 on host2 has not been heard from for", seconds=3 * PATIENCE)
        assert time.monotonic() - began > patience / 2
        hosts.signal("host2", "CONT")
        assert job.end(20) not in (0, 75)
    hosts.await_no_ranks("host1", "host2")
