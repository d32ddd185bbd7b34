"""One job at a time on a surface: a lock file beside it.

The lock is ``flock`` on ``<surface>.lock``, so the operating system drops it when its holder dies, however it dies. It
is not taken on the surface itself: on network file systems that would meet the byte-range locks MPI-IO uses. It is on
the file and not on the name: it lies beside the file to which a symbolic link leads, and a file of two names, which
could have two locks, is refused.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lossgrid.errors import InputError
from lossgrid.files.writing import remove_stale

log = logging.getLogger(__name__)

NOTE = re.compile(rb"(process \d+ on [^\n]*\n)?")  # the only contents that lossgrid writes into a lock file
NOTE_BYTES = 512
FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the surface ``path`` while the block runs.

    Raises:
        InputError: Another process holds it, the folder cannot be written, ``path`` is a broken link, the file has two
            names, or something else has the name of the lock.
    """
    _refuse_broken_link(path)
    lock = lock_of(path)
    descriptor = _acquire(lock, path)
    try:
        with suppress(OSError):  # the folder cannot be listed
            remove_stale(lock.parent)
        _refuse_second_name(path)
        yield
    finally:
        # Removed while still held: a process that has opened this file sees that its name is gone, and tries again.
        if _is_at(descriptor, lock):
            lock.unlink(missing_ok=True)
        os.close(descriptor)


def refuse_ambiguous(path: Path) -> None:
    """Refuse a name that could not be locked, without locking it.

    Raises:
        InputError: ``path`` is a broken link, or the file has two names.
    """
    _refuse_broken_link(path)
    _refuse_second_name(path)


def _refuse_broken_link(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise InputError(f"--out: {path} is a link to {os.readlink(path)}, which does not exist; remove the link")  # noqa: PTH115


def _refuse_second_name(path: Path) -> None:
    """Refuse hard links; under the lock, as a run that makes a file gives it two names for a moment."""
    if path.is_file() and path.stat().st_nlink > 1:
        raise InputError(
            f"--out: {path} has {path.stat().st_nlink} names (hard links), through which two runs could write it "
            "at once; copy it, or remove the other names"
        )


def lock_of(path: Path) -> Path:
    """Return the lock file of the surface ``path``; if ``path`` is a link, it lies beside the target."""
    target = Path(os.path.realpath(path))
    return target.with_name(f"{target.name}.lock")


def in_use(path: Path) -> bool:
    """Return whether a run holds the lock of the surface ``path``; False on a file system without locks."""
    try:
        descriptor = os.open(lock_of(path), os.O_RDONLY | FLAGS)
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
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | FLAGS, 0o644)
        except OSError as error:
            if lock.is_symlink() or lock.exists():
                raise InputError(f"--out: {_foreign(lock)}") from None
            raise InputError(f"--out: cannot write in folder {lock.parent}: {error.strerror}") from None
        if not _is_ours(descriptor):
            os.close(descriptor)
            raise InputError(f"--out: {_foreign(lock)}")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                log.warning("%s: this file system has no locks; make sure no second job writes this surface", path)
                return descriptor
            holder = os.pread(descriptor, NOTE_BYTES, 0).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise InputError(f"--out: {path} is in use by {holder}; wait for it or choose another file") from None
        if _is_at(descriptor, lock):
            os.ftruncate(descriptor, 0)
            with suppress(OSError):  # a full disk: the lock works without the note, and later writes raise
                os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            return descriptor
        os.close(descriptor)


def _foreign(lock: Path) -> str:
    return f"{lock} is no lock of lossgrid, or cannot be written; move it away, or choose another file"


def _is_ours(descriptor: int) -> bool:
    """Return whether an open file is a lock: a regular file of one name that is empty or contains a ``NOTE``."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or found.st_size > NOTE_BYTES:
        return False
    return NOTE.fullmatch(os.pread(descriptor, NOTE_BYTES, 0)) is not None


def _is_at(descriptor: int, lock: Path) -> bool:
    """Return whether ``lock`` is still the name of the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), lock.lstat())
    except FileNotFoundError:
        return False
