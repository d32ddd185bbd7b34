"""HDF5 files that appear under their name whole or not at all.

They are made in memory and written by ourselves: where HDF5 cannot write, on a full disk, it crashes as it is closed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from lossgrid.files import write_whole


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
