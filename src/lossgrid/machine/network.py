"""The network: the addresses of this host."""

from __future__ import annotations

import fcntl
import socket
import struct
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lossgrid.machine.kernel import ROOT, text_of

SIOCGIFCONF = 0x8912  # Linux: all IPv4 addresses of all interfaces
ENTRY, ENTRIES = 40, 256  # bytes of struct ifreq on a 64-bit system; most addresses that are read
NUMBER = slice(20, 24)  # of an entry: the name of the interface, the family and the port come before


def own_addresses(host: str, root: Path = ROOT) -> tuple[str, ...]:
    """Return the addresses of this host, from its interfaces and its name, without loopback addresses."""
    found = [*_of_version_4(), *_of_version_6(root)]
    with suppress(OSError):
        found += [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    return tuple(number for number in dict.fromkeys(found) if not number.startswith("127.") and number != "::1")


def _of_version_4() -> Iterator[str]:
    entries = array("B", bytes(ENTRY * ENTRIES))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket, suppress(OSError):  # not on Linux
        request = struct.pack("iP", len(entries), entries.buffer_info()[0])
        filled, _ = struct.unpack("iP", fcntl.ioctl(any_socket, SIOCGIFCONF, request))
        for start in range(0, filled, ENTRY):
            yield socket.inet_ntoa(entries[start : start + ENTRY][NUMBER].tobytes())


def _of_version_6(root: Path) -> Iterator[str]:
    for line in text_of(root / "proc/net/if_inet6").splitlines():
        with suppress(ValueError, OSError):  # a malformed line
            address, _, _, scope, *_ = line.split()
            if scope == "00":  # global, not of one link or host
                yield socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address))
