"""HDF5 files that appear under their name whole or not at all.

HDF5 builds them in memory, and lossgrid writes the bytes: on a full disk HDF5 itself crashes as it closes a file.
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
    """Yield a new HDF5 file in memory and its bytes, which are complete once the file is closed."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        yield file, content


@contextmanager
def appearing(path: Path, *, overwrite: bool) -> Iterator[h5py.File]:
    """Yield a new HDF5 file, which is written to ``path`` if the block ends without an error.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is not set, or the file system refuses.
    """
    with image() as (file, content):
        yield file
        file.close()
        write_whole(path, content.getbuffer(), overwrite=overwrite)
