"""The network: the addresses of this host."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lossgrid.machine.kernel import ROOT, text_of

SIOCGIFADDR = 0x8915  # Linux: the IPv4 address of an interface


def own_addresses(host: str, root: Path = ROOT) -> tuple[str, ...]:
    """Return the addresses of this host, from its interfaces and its name, without loopback addresses."""
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # an interface without an IPv4 address
                reply = fcntl.ioctl(any_socket, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                found.append(socket.inet_ntoa(reply[20:24]))
    found += _of_version_6(root)
    with suppress(OSError):
        found += [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    return tuple(number for number in dict.fromkeys(found) if not number.startswith("127.") and number != "::1")


def _of_version_6(root: Path) -> Iterator[str]:
    for line in text_of(root / "proc/net/if_inet6").splitlines():
        with suppress(ValueError, OSError):  # a malformed line
            address, _, _, scope, *_ = line.split()
            if scope == "00":  # global, not of one link or host
                yield socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address))
