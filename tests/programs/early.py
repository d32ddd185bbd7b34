"""early.py ARGUMENTS...: the command line of lossgrid, but the last rank is told to stop as soon as it can be."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from lossgrid import cli, parallel
from lossgrid.machine.launcher import detect

launch = detect()
connect = parallel.connect


def connect_late(*args: Any, **kwargs: Any) -> Any:
    if launch is not None and launch.size is not None and launch.rank == launch.size - 1:
        os.kill(os.getpid(), signal.SIGUSR1)
    return connect(*args, **kwargs)


parallel.connect = connect_late
cli.main(sys.argv[1:])
