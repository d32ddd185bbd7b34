"""Pictures as files: written whole or not at all; equal surfaces give equal bytes."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from lossgrid.errors import InputError
from lossgrid.files import writing, written_whole
from lossgrid.plot.figure import compose, kinds_of
from lossgrid.plot.labels import title_of
from lossgrid.plot.options import DEFAULTS, WITHOUT_POINTS, PictureOptions
from lossgrid.surface import Surface

log = logging.getLogger(__name__)

DPI = 200
FORMATS: dict[str, dict[str, Any]] = {  # format -> metadata to leave out: they change with the date or the version
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}


def save(figure: Figure, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write ``figure`` to ``path`` in the format of its suffix; return the path.

    Raises:
        InputError: The suffix is unknown, the file exists and ``overwrite`` is not set, or it cannot be written.
    """
    path = Path(path)
    refuse_to_write([path], overwrite=overwrite)
    format = path.suffix.lower().removeprefix(".")
    picture = io.BytesIO()  # in memory: matplotlib's writers do not report a full disk well
    with matplotlib.rc_context({"svg.hashsalt": "lossgrid", "pdf.fonttype": 42}), _missing_glyphs():
        figure.savefig(picture, format=format, dpi=DPI, bbox_inches="tight", pad_inches=0.08, metadata=FORMATS[format])
    with written_whole(path, overwrite=overwrite) as partial:
        partial.write_bytes(picture.getbuffer())
    return path


@contextmanager
def _missing_glyphs() -> Iterator[None]:
    """Log one line if the font lacks characters of a label, instead of matplotlib's warning for each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message="Glyph ")
        yield
    for warning in caught:
        if not str(warning.message).startswith("Glyph "):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if any(str(warning.message).startswith("Glyph ") for warning in caught):
        log.warning("the font of the picture lacks characters of a label; set font.family in a matplotlibrc file")


def refuse_to_write(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse, before the work, paths to which pictures cannot be written.

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
    options: PictureOptions = DEFAULTS,
    *,
    overwrite: bool,
    format: str = "png",
    title: str | None = None,
) -> list[Path]:
    """Draw ``surface`` in every kind that fits it, as ``<stem>_<kind>.<format>``; return the files.

    Raises:
        InputError: A picture cannot be drawn or written; where one exists already, none is written.
    """
    pictures = {kind: picture_path(stem, kind, format) for kind in kinds_of(surface)}
    refuse_to_write(pictures.values(), overwrite=overwrite)
    labels = [title_of(surface) if title is None else title]
    without = replace(options, points=False)
    wanted = {kind: replace(without if kind in WITHOUT_POINTS else options, kind=kind) for kind in pictures}
    return [
        save(compose([surface], labels, wanted[kind]), path, overwrite=overwrite) for kind, path in pictures.items()
    ]


def picture_path(stem: Path, kind: str, format: str) -> Path:
    """Return ``<stem>_<kind>.<format>``; a dot in the stem is part of the name."""
    return stem.with_name(f"{stem.name}_{kind}.{format}")
