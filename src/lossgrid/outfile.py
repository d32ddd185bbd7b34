"""A file to write: refused before the work where it cannot be, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lossgrid import store
from lossgrid.errors import InputError

NAME = 40  # characters of a name kept in that of its unfinished file: a name may be as long as the system allows


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
    trial = _partial(path)
    trial.open("xb").close()
    trial.unlink()


@contextmanager
def written_whole(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield the name of an unfinished file, which becomes ``path`` where the block ends well, and else is removed.

    Raises:
        InputError: It cannot be written, or ``path`` has appeared and ``overwrite`` is not set.
    """
    partial = _partial(path)
    try:
        with _errors_of(path):
            yield partial
            store.publish(partial, path, overwrite=overwrite)
    finally:
        with suppress(OSError):
            partial.unlink()


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


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name[:NAME]}.{os.getpid()}.partial")
