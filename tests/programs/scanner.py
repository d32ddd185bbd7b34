"""scanner.py SECONDS: connect to every port of this host that listens, again and again, and say nothing.

As port scanners do. Prints each port that it has found.
"""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

CALLS = 40  # to each port: more than a rank expects
LISTENS = "0A"

callers: list[socket.socket] = []
found: set[int] = set()
deadline = time.monotonic() + float(sys.argv[1])
while time.monotonic() < deadline:
    for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]:
        _, address, _, state, *_ = line.split()
        port = int(address.rpartition(":")[2], 16)
        if state == LISTENS and port not in found:
            found.add(port)
            for _ in range(CALLS):
                with suppress(OSError):
                    callers.append(socket.create_connection(("localhost", port), timeout=1))
            print(f"port {port} called {CALLS} times", flush=True)
    time.sleep(0.01)
