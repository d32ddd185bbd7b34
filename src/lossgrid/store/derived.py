"""Surfaces derived from other files; a source file is never overwritten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lossgrid.errors import InputError
from lossgrid.files import locked
from lossgrid.store.file import save
from lossgrid.store.reader import read
from lossgrid.surface import Surface


def derive(
    out: Path, make: Callable[[], Surface], sources: Sequence[Path], *, role: str, overwrite: bool = False
) -> Surface:
    """Lock ``out``, call ``make``, write its surface into ``out`` and return it.

    Args:
        out: The file to write.
        make: Returns the surface.
        sources: The files that ``make`` reads.
        role: The name of a source in errors, such as ``the file to import``.
        overwrite: Replace an existing surface.

    Raises:
        InputError: ``out`` is one of the sources, is no surface, or exists and ``overwrite`` is not set.
    """
    if out.is_dir():
        raise InputError(f"--out: {out} is a folder; give a file such as {out / 'surface.h5'}")
    with locked(out):
        if out.exists():
            if any(file.exists() and file.samefile(out) for file in sources):
                raise InputError(f"--out: {out} is {role}, which is only read; choose another file")
            read(out)  # only a surface may be replaced
            if not overwrite:
                raise InputError(f"--out: {out} exists; choose another file, or --overwrite to replace it")
        surface = make()
        save(out, surface, overwrite=overwrite)
    return surface
