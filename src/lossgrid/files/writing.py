"""Files written whole or not at all: under another name first, then, in one step, under their own."""

from __future__ import annotations

import itertools
import os
import re
import socket
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lossgrid.errors import InputError

_numbers = itertools.count()


def refuse_to_write(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Find out before work starts what would keep ``paths`` from being written.

    Raises:
        InputError: A folder is missing or not to be written to, a name is too long, or something is in the way.
    """
    for path in paths:
        with _errors_of(path):
            with suppress(FileNotFoundError):
                path.lstat()  # says, unlike exists(), that a name is too long
            if not path.parent.is_dir():
                raise InputError(f"{path}: there is no folder {path.parent}; make it first")
            if path.is_dir():
                raise InputError(f"{path} is a folder; give the name of a file in it")
            if path.is_symlink() and not path.exists():
                raise InputError(f"{path} is a link to a file that is not there; remove it or choose another --out")
            if path.exists() and not path.is_file():
                raise InputError(f"{path} is not an ordinary file; choose another --out")
            if path.exists() and not overwrite:
                raise InputError(f"{path} exists; give --overwrite to replace it, or choose another --out")
            _try(path)


def _try(path: Path) -> None:
    """Make an empty file beside ``path`` and remove it: permissions alone do not tell whether that works."""
    trial = _unfinished(path)
    trial.open("xb").close()
    trial.unlink()


def write_whole(path: Path, content: bytes | memoryview, *, overwrite: bool) -> None:
    """Write ``content`` into the file ``path``.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set, or the file system refuses.
    """
    with written_whole(path, overwrite=overwrite) as partial:
        partial.write_bytes(content)


@contextmanager
def written_whole(path: Path, *, overwrite: bool, ending: str = "") -> Iterator[Path]:
    """Yield the name of an unfinished file, which becomes ``path`` where the block ends well, and else is removed.

    The name ends in ``ending``, for writers that go by it.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set, or the file system refuses.
    """
    with _errors_of(path), unfinished(path, overwrite=overwrite, ending=ending) as partial:
        yield partial


@contextmanager
def unfinished(path: Path, *, overwrite: bool, ending: str = "") -> Iterator[Path]:
    """Do what :func:`written_whole` does, for callers with an error of their own.

    Where ``path`` is a link, the file it leads to is written.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set.
        OSError: The file system refuses.
    """
    target = Path(os.path.realpath(path))
    remove_stale(target.parent)
    partial = _unfinished(target, ending)
    try:
        yield partial
        _onto_disk(partial)
        publish(partial, target, overwrite=overwrite)
    finally:
        with suppress(OSError):
            partial.unlink()


def _onto_disk(path: Path) -> None:
    """Wait until the disk has the file, so that a crash of the machine does not leave an empty one in its place."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Name the file where the system refuses something."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose another --out") from None
    except ValueError as error:  # of a name that is none, such as one with a zero byte
        raise InputError(f"cannot write {path}: {error}; choose another --out") from None


def publish(partial: Path, path: Path, *, overwrite: bool) -> None:
    """Give the finished file its name, in one step, never over another file unless asked.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set.
        OSError: The file system refuses.
    """
    if overwrite:
        partial.replace(path)
        return
    try:
        os.link(partial, path)  # unlike rename, this fails where the name is taken
    except FileExistsError:
        raise InputError(f"--out: {path} appeared in the meantime; start again") from None
    except OSError:  # a file system without hard links
        if path.exists():
            raise InputError(f"--out: {path} appeared in the meantime; start again") from None
        partial.rename(path)


def remove_stale(folder: Path) -> None:
    """Remove what processes of this host have left in ``folder`` that were killed while they made a file.

    Raises:
        OSError: The folder cannot be read.
    """
    left = re.compile(rf"{re.escape(_prefix())}(\d+)-\d+\.partial(\.[^.]+)?")
    for partial in folder.iterdir():
        found = left.fullmatch(partial.name)
        if found and not _lives(int(found[1])):
            with suppress(OSError):
                partial.unlink()


def _prefix() -> str:
    """Return how unfinished files of this host begin: whether processes of other hosts live is not known here."""
    return f".lossgrid-{zlib.crc32(socket.gethostname().encode()):08x}-"


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True


def _unfinished(path: Path, ending: str = "") -> Path:
    """Return a name beside ``path`` that no other file has."""
    return path.with_name(f"{_prefix()}{os.getpid()}-{next(_numbers)}.partial{ending}")
