"""Files that appear under their name whole or not at all.

They are made in memory and written by ourselves: where HDF5 cannot write, on a full disk, it crashes as it is closed.
"""

from __future__ import annotations

import io
import os
import re
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py

from lossgrid.errors import InputError, in_short


@contextmanager
def image() -> Iterator[tuple[h5py.File, io.BytesIO]]:
    """Open a new HDF5 file in memory; the bytes are whole when it is closed."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        yield file, content


@contextmanager
def appearing(path: Path, *, overwrite: bool) -> Iterator[h5py.File]:
    """Open a new HDF5 file that gets the name ``path`` when the block has ended well.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set, or the file system refuses.
    """
    with image() as (file, content):
        yield file
        file.close()
        write_whole(path, content.getbuffer(), overwrite=overwrite)


def write_whole(path: Path, content: memoryview, *, overwrite: bool) -> None:
    """Write a file, and give it its name only then; where that is a link, to the file it leads to.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set, or the file system refuses.
    """
    target = Path(os.path.realpath(path))
    partial = target.with_name(f"{_prefix()}{os.getpid()}.partial")
    try:
        remove_stale(target.parent)
        with partial.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        publish(partial, target, overwrite=overwrite)
    except OSError as error:
        raise InputError(f"cannot make {path}: {error.strerror or in_short(error)}") from None
    finally:
        with suppress(OSError):
            partial.unlink()


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
    left = re.compile(rf"{re.escape(_prefix())}(\d+)\.partial")
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
