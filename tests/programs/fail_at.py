"""fail_at.py STAGE RANK ARGUMENTS...: the command line of lossgrid, on one rank with a fault in one stage.

Nothing in lossgrid knows of this: a function of the stage is replaced on that rank by one that raises.
"""

from __future__ import annotations

import errno
import sys
import time
from typing import Any

import mpi4py

mpi4py.rc.initialize = False

from lossgrid import cli, data, store  # noqa: E402
from lossgrid.evaluation import Evaluator  # noqa: E402
from lossgrid.machine.launcher import detect  # noqa: E402
from lossgrid.run import study  # noqa: E402

stage, rank = sys.argv[1], int(sys.argv[2])


def failing(original: Any, after: int) -> Any:
    """Return ``original``, which raises after so many calls."""
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(errno.EIO, f"injected into {stage} at {time.time()}")
        return original(*args, **kwargs)

    return wrapped


STAGES: dict[str, tuple[Any, str, int]] = {
    "load": (study, "load_model", 0),
    "to device": (data, "all_to_device", 0),
    "open": (store, "SurfaceFile", 0),
    "first point": (Evaluator, "point", 0),
    "mid run": (Evaluator, "point", 4),
    "write": (store.SurfaceFile, "write", 1),
    "close": (store.SurfaceFile, "close", 0),
}

launch = detect()
if (0 if launch is None else launch.rank) == rank:
    owner, name, after = STAGES[stage]
    setattr(owner, name, failing(getattr(owner, name), after))
cli.main(sys.argv[3:])
