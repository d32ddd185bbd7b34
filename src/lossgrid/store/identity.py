"""The identity of the file that a run writes: detects that it was moved, replaced, truncated or overwritten."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lossgrid.errors import InputError, RankError

PIECE = 1 << 16  # bytes


@dataclass(frozen=True)
class Identity:
    """Facts that identify a surface file without HDF5.

    Attributes:
        path: Its name.
        device: The number of its device.
        inode: Its inode number on the device.
        size: Its size in bytes; a surface file never shrinks.
        key: The bytes of its attribute ``id``, random and set at creation; empty in files of older versions.
    """

    path: Path
    device: int
    inode: int
    size: int
    key: bytes

    def verify(self) -> None:
        """Raise RankError if the name does not belong to this file any more.

        Raises:
            RankError: The file was moved, deleted, replaced, truncated or overwritten.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            descriptor = -1
        except OSError as error:
            raise RankError(f"{self.path} cannot be read any more: {error.strerror}") from None
        if descriptor < 0:
            self._is_gone()
        try:
            now = os.fstat(descriptor)
            if (now.st_dev, now.st_ino) != (self.device, self.inode):
                self._is_gone()
            if now.st_size < self.size or not _holds(descriptor, self.key):
                raise RankError(
                    f"{self.path} was cut or written over while it was being computed: it is not the file of this run "
                    "any more; move it away, and start again"
                )
        finally:
            os.close(descriptor)

    def _is_gone(self) -> None:
        raise RankError(
            f"{self.path} was moved or deleted while it was being computed, or another file has taken its name; "
            "put it back to go on with it"
        )


def identify(path: Path, key: str) -> Identity:
    """Return the identity of the surface file ``path``.

    Args:
        path: The file.
        key: Its attribute ``id``; empty if it has none.

    Raises:
        RankError: The file does not contain ``key``: another file has its name.
        InputError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            now, holds = os.fstat(file.fileno()), _holds(file.fileno(), key.encode())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not holds:
        raise RankError(f"{path} was replaced by another file; move that away, and start again")
    return Identity(path, now.st_dev, now.st_ino, now.st_size, key.encode())


def _holds(descriptor: int, key: bytes) -> bool:
    """Return whether an open file contains ``key``, which is near its beginning."""
    start = 0
    while part := os.pread(descriptor, PIECE, start):
        if key in part:
            return True
        start += max(1, len(part) - len(key))  # pieces overlap, so that no key is cut in two
        if len(part) < PIECE:
            break
    return not key
