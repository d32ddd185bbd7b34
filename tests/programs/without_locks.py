"""without_locks.py ARGUMENTS...: the command line of lossgrid where flock keeps nobody out.

So it is between nodes on some file systems.
"""

from __future__ import annotations

import fcntl
import sys

from lossgrid import cli

fcntl.flock = lambda *_: None  # type: ignore[assignment]
cli.main(sys.argv[1:])
