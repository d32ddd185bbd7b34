"""Surfaces made of other files: written beside these, never over one of them."""

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
    """Write the surface that ``make`` returns into ``out``, which is locked before it is made; return it.

    Args:
        out: The file to write.
        make: Makes the surface.
        sources: The files it is made of.
        role: What one of them is called in errors, such as ``the file to import``.
        overwrite: Replace a surface that exists.

    Raises:
        InputError: ``out`` is one of the sources, or is there and no surface, or one not to be replaced.
    """
    if out.is_dir():
        raise InputError(f"--out: {out} is a folder; give a file such as {out / 'surface.h5'}")
    with locked(out):
        if out.exists():
            if any(file.exists() and file.samefile(out) for file in sources):
                raise InputError(f"--out: {out} is {role}, which is only read; choose another file")
            read(out)  # also to be replaced it must be a surface
            if not overwrite:
                raise InputError(f"--out: {out} exists; choose another file, or --overwrite to replace it")
        surface = make()
        save(out, surface, overwrite=overwrite)
    return surface
