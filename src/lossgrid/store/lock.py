"""One job at a time on a surface: a lock file beside it.

The lock is ``flock`` on ``<surface>.lock``, so the operating system drops it when its holder dies, however it dies. It
is not taken on the surface itself: on network file systems that would meet the byte-range locks MPI-IO uses.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lossgrid.errors import InputError

log = logging.getLogger(__name__)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the surface ``path`` while the block runs.

    Raises:
        InputError: Another process holds it, or the folder cannot be written.
    """
    lock = path.with_name(f"{path.name}.lock")
    descriptor = _acquire(lock, path)
    try:
        yield
    finally:
        # Removed while still held: whoever waits for this very file sees that its name is gone and starts afresh.
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def in_use(path: Path) -> bool:
    """Tell whether a run holds the lock of the surface ``path``, as far as its file system can tell."""
    try:
        descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EACCES)
    finally:
        os.close(descriptor)
    return False


def _acquire(lock: Path, path: Path) -> int:
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise InputError(f"--out: cannot write in folder {lock.parent}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                log.warning("%s: this file system has no locks; make sure no second job writes this surface", path)
                return descriptor
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise InputError(f"--out: {path} is in use by {holder}; wait for it or choose another file") from None
        try:
            same = os.path.samestat(os.fstat(descriptor), lock.stat())
        except FileNotFoundError:
            same = False
        if same:
            os.ftruncate(descriptor, 0)
            with suppress(OSError):  # of a full disk; the lock holds without its name, and what needs space will say so
                os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            return descriptor
        os.close(descriptor)
