"""Pictures as files: whole or not at all, never over another by accident, the same bytes for the same surface."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from lossgrid.errors import InputError
from lossgrid.plot.figure import draw, kinds_of
from lossgrid.store.surface import Surface

DPI = 200
FORMATS: dict[str, dict[str, Any]] = {  # format -> metadata left out: they would differ from day to day
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}


def save(figure: Figure, path: Path, *, overwrite: bool) -> Path:
    """Write ``figure`` to ``path`` in the format of its suffix; return the path.

    Raises:
        InputError: The suffix is unknown, the file exists and ``overwrite`` is not set, or it cannot be written.
    """
    refuse_to_write([path], overwrite=overwrite)
    format = path.suffix.lower().removeprefix(".")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with matplotlib.rc_context({"svg.hashsalt": "lossgrid", "pdf.fonttype": 42}):
            figure.savefig(
                partial, format=format, dpi=DPI, bbox_inches="tight", pad_inches=0.08, metadata=FORMATS[format]
            )
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose another --out") from None
    finally:
        with suppress(OSError):
            partial.unlink()
    return path


def refuse_to_write(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Find out before work starts what would keep the pictures from being written.

    Raises:
        InputError: A suffix is unknown, a folder is missing, or a file exists and ``overwrite`` is not set.
    """
    for path in paths:
        if path.suffix.lower().removeprefix(".") not in FORMATS:
            raise InputError(f"{path}: a picture ends in .png, .pdf or .svg; choose one of these")
        if not path.parent.is_dir():
            raise InputError(f"{path}: there is no folder {path.parent}; make it first")
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists; give --overwrite to replace it")


def write_all(
    surface: Surface,
    stem: Path,
    *,
    overwrite: bool,
    format: str = "png",
    metric: str | None = None,
    log: bool | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    levels: int | None = None,
    title: str | None = None,
) -> list[Path]:
    """Draw ``surface`` in every way that fits it, as ``<stem>_<kind>.<format>``; see :func:`draw` for the options.

    Raises:
        InputError: A picture cannot be drawn or written; where one exists already, none is written.
    """
    pictures = {kind: picture_path(stem, kind, format) for kind in kinds_of(surface)}
    refuse_to_write(pictures.values(), overwrite=overwrite)
    return [
        save(
            draw(surface, kind=kind, metric=metric, log=log, vmin=vmin, vmax=vmax, levels=levels, title=title),
            path,
            overwrite=overwrite,
        )
        for kind, path in pictures.items()
    ]


def picture_path(stem: Path, kind: str, format: str) -> Path:
    """Return the name of a picture beside ``stem``; a dot in the stem is part of it."""
    return stem.with_name(f"{stem.name}_{kind}.{format}")
