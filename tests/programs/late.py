"""late.py ARGUMENTS...: the command line of lossgrid, but the last rank freezes before MPI starts."""

from __future__ import annotations

import os
import signal
import sys

from lossgrid import cli, parallel

launch = parallel.detect()
if launch is not None and launch.size is not None and launch.rank == launch.size - 1:
    os.kill(os.getpid(), signal.SIGSTOP)
cli.main(sys.argv[1:])
