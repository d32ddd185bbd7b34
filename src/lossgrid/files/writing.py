"""Files written whole or not at all: first under a temporary name, then renamed in one step."""

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
    """Raise InputError, before work starts, if one of ``paths`` cannot be written.

    Raises:
        InputError: A folder is missing or not writable, a name is too long, or the name is taken.
    """
    for path in paths:
        with _errors_of(path):
            with suppress(FileNotFoundError):
                path.lstat()  # unlike exists(), it raises if a name is too long
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
    """Make an empty file beside ``path`` and remove it: permissions alone do not show whether that works."""
    with new_file_beside(path):
        pass


@contextmanager
def new_file_beside(path: Path) -> Iterator[Path]:
    """Make an empty file of a new name in the folder of ``path``, and remove it after the block.

    Raises:
        InputError: The file system refuses.
    """
    new = _unfinished(path)
    with _errors_of(path):
        new.open("xb").close()
    try:
        yield new
    finally:
        new.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | memoryview, *, overwrite: bool) -> None:
    """Write ``content`` into the file ``path``.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set, or the file system refuses.
    """
    with written_whole(path, overwrite=overwrite) as partial:
        partial.write_bytes(content)


@contextmanager
def written_whole(path: Path, *, overwrite: bool, ending: str = "") -> Iterator[Path]:
    """Yield the name of an unfinished file; rename it to ``path`` if the block succeeds, else remove it.

    The name ends in ``ending``, for writers that choose the format by it.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set, or the file system refuses.
    """
    with _errors_of(path), unfinished(path, overwrite=overwrite, ending=ending) as partial:
        yield partial


@contextmanager
def unfinished(path: Path, *, overwrite: bool, ending: str = "") -> Iterator[Path]:
    """Do the same as :func:`written_whole`, but pass OSError on.

    If ``path`` is a link, its target is written.

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
    """Flush the file to the disk: else a crash of the machine could leave an empty file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into an InputError that names the file."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose another --out") from None
    except ValueError as error:  # an impossible name, such as one with a zero byte
        raise InputError(f"cannot write {path}: {error}; choose another --out") from None


def publish(partial: Path, path: Path, *, overwrite: bool) -> None:
    """Rename the finished file in one step; replace another file only if ``overwrite`` is set.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set.
        OSError: The file system refuses.
    """
    if overwrite:
        partial.replace(path)
        return
    try:
        os.link(partial, path)  # unlike rename, this fails if the name is taken
    except FileExistsError:
        raise InputError(f"--out: {path} appeared in the meantime; start again") from None
    except OSError:  # a file system without hard links
        if path.exists():
            raise InputError(f"--out: {path} appeared in the meantime; start again") from None
        partial.rename(path)


def remove_stale(folder: Path) -> None:
    """Remove unfinished files in ``folder`` that killed processes of this host have left.

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
    """Return the prefix of unfinished files of this host; those of other hosts may belong to living processes."""
    return f".lossgrid-{zlib.crc32(socket.gethostname().encode()):08x}-"


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # the process of another user
        return True
    return True


def _unfinished(path: Path, ending: str = "") -> Path:
    """Return a name in the folder of ``path`` that no other file has."""
    return path.with_name(f"{_prefix()}{os.getpid()}-{next(_numbers)}.partial{ending}")
