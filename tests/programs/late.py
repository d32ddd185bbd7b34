"""late.py "at the start"|"at the end" ARGUMENTS...: the command line of lossgrid, but the last rank freezes there.

Before MPI starts, or when all has been done and said.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from lossgrid import cli, parallel
from lossgrid.machine.launcher import detect

launch = detect()


def freeze(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGSTOP)


if launch is not None and launch.size is not None and launch.rank == launch.size - 1:
    if sys.argv[1] == "at the start":
        freeze()
    parallel.finalize = freeze
cli.main(sys.argv[2:])
