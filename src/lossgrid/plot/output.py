"""Pictures as files: whole or not at all, never over another by accident, the same bytes for the same surface."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from lossgrid.errors import InputError
from lossgrid.files import writing, written_whole
from lossgrid.plot.figure import draw, kinds_of
from lossgrid.surface import Surface

log = logging.getLogger(__name__)

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
    picture = io.BytesIO()  # matplotlib's writers cannot be left to end well on a full disk
    with matplotlib.rc_context({"svg.hashsalt": "lossgrid", "pdf.fonttype": 42}), _missing_glyphs():
        figure.savefig(picture, format=format, dpi=DPI, bbox_inches="tight", pad_inches=0.08, metadata=FORMATS[format])
    with written_whole(path, overwrite=overwrite) as partial:
        partial.write_bytes(picture.getbuffer())
    return path


@contextmanager
def _missing_glyphs() -> Iterator[None]:
    """Say once, in one line, that the font lacks characters of a label; matplotlib warns of each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message="Glyph ")
        yield
    for warning in caught:
        if not str(warning.message).startswith("Glyph "):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if any(str(warning.message).startswith("Glyph ") for warning in caught):
        log.warning("the font of the picture lacks characters of a label; set font.family in a matplotlibrc file")


def refuse_to_write(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Find out before work starts what would keep the pictures from being written.

    Raises:
        InputError: A suffix is unknown, or a file cannot be written.
    """
    paths = list(paths)
    for path in paths:
        if path.suffix.lower().removeprefix(".") not in FORMATS:
            raise InputError(f"{path}: a picture ends in .png, .pdf or .svg; choose one of these")
    writing.refuse_to_write(paths, overwrite=overwrite)


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
