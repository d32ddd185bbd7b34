"""last_moment.py MOMENT ARGUMENTS...: the command line of lossgrid, but the last rank gets SIGTERM when all is done.

The moments: points (all computed), file (closed), book (told to be complete), left (MPI has ended), exit (Python ends).
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from lossgrid import cli, parallel
from lossgrid.machine.launcher import detect

moment = sys.argv[1]
launch = detect()
is_victim = launch is None or launch.rank == (launch.size or 1) - 1


def interrupt() -> None:
    if is_victim:
        sys.stderr.write("SIGTERM\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGTERM)


def then_interrupted(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        interrupt()
        return result

    return called


if moment == "exit":
    atexit.register(interrupt)
elif moment == "left":
    parallel.finalize = then_interrupted(parallel.finalize)
else:
    from lossgrid import store
    from lossgrid.run import sharing
    from lossgrid.run.book import Book

    if moment == "points":
        sharing.coordinate = then_interrupted(sharing.coordinate)
    elif moment == "file":
        store.SurfaceFile.close = then_interrupted(store.SurfaceFile.close)
    elif moment == "book":
        Book.close = then_interrupted(Book.close)
cli.main(sys.argv[2:])
