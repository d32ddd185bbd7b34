"""Pictures as files: written whole or not at all; equal surfaces give equal bytes."""

from __future__ import annotations

import io
import logging
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL.PngImagePlugin import PngInfo

from lossgrid.errors import InputError
from lossgrid.files import writing, written_whole
from lossgrid.plot import seal
from lossgrid.plot.figure import compose, kinds_of
from lossgrid.plot.labels import title_of
from lossgrid.plot.options import DEFAULTS, PictureOptions, for_relief
from lossgrid.plot.picture import Picture
from lossgrid.surface import Surface

log = logging.getLogger(__name__)

DPI = {"png": 200, "jpg": 200}  # of pictures; of reliefs within drawings it is DRAWING_DPI
DRAWING_DPI, LEAST_DPI, MOST_DPI = 400, 10, 2400
MOST_SUPERSAMPLED, MOST_PIXELS = 400, 400_000_000  # dots per inch; pixels of a picture
JPEG_QUALITY = 92
FORMATS: dict[str, tuple[dict[str, Any], str]] = {  # metadata to leave out, as they change; the entry for the seal
    "png": ({"Software": None}, "Source"),
    "pdf": ({"CreationDate": None}, "Keywords"),
    "svg": ({"Date": None}, "Source"),
    "eps": ({}, "Creator"),
    "jpg": ({}, ""),
}
EPS_DATE = re.compile(rb"%%CreationDate: [^\n]*\n")


def save(figure: Figure, path: str | Path, *, overwrite: bool = False, dpi: float | None = None) -> Path:
    """Write ``figure`` to ``path`` in the format of its suffix; return the path.

    A picture that lossgrid drew from the same surface, and that nobody has changed, is replaced.

    Args:
        figure: The figure.
        path: The file, ``.png``, ``.pdf``, ``.svg``, ``.eps`` or ``.jpg``.
        overwrite: Replace any file.
        dpi: Dots per inch, in drawings those of reliefs; None for 200, in drawings 400.

    Raises:
        InputError: The suffix is unknown, the file exists and ``overwrite`` is not set, or it cannot be written.
    """
    path, ids = Path(path), getattr(figure, "drawn_from", ())
    _refuse([path], overwrite=overwrite, ids=ids)
    format = _format_of(path)
    dpi = refuse_dpi(dpi) or DPI.get(format, DRAWING_DPI)
    pixels = math.prod(figure.get_size_inches()) * dpi**2
    if pixels > MOST_PIXELS:
        raise InputError(f"--size and --dpi give {pixels:.2g} pixels, expected at most {MOST_PIXELS:.0e}; give less")
    picture = io.BytesIO()  # in memory: matplotlib's writers do not report a full disk well
    settings: dict[Any, Any] = {"svg.hashsalt": "lossgrid", "pdf.fonttype": 42, "ps.fonttype": 42}
    with matplotlib.rc_context(settings), _missing_glyphs():
        if isinstance(figure, Picture) and figure.solid and format in DPI and dpi <= MOST_SUPERSAMPLED:
            _save_finer(figure, picture, format, dpi, seal.blank_of(ids) if ids else "")
        else:
            figure.savefig(picture, format=format, dpi=dpi, **_about(format, ids, figure))
    content = EPS_DATE.sub(b"", picture.getvalue(), count=1) if format == "eps" else picture.getvalue()
    with written_whole(path, overwrite=overwrite or _is_own(path, ids)) as partial:
        partial.write_bytes(seal.sealed(content))
    return path


def _save_finer(figure: Picture, picture: io.BytesIO, format: str, dpi: float, seal_of: str) -> None:
    """Write reliefs in pixels that are finer than those matplotlib draws."""
    pixels, about = figure.finer(dpi), PngInfo()
    about.add_text(FORMATS["png"][1], seal_of)
    if format == "jpg":
        comment = seal_of.encode()
        pixels.convert("RGB").save(picture, "JPEG", dpi=(dpi, dpi), quality=JPEG_QUALITY, comment=comment)
    else:
        pixels.save(picture, "PNG", dpi=(dpi, dpi), pnginfo=about)


def _about(format: str, ids: Sequence[str], figure: Figure) -> dict[str, Any]:
    """Return what matplotlib is to write about a picture, and how it is cut."""
    seal_of = seal.blank_of(ids) if ids else ""
    metadata, entry = FORMATS[format]
    cut = {} if getattr(figure, "fixed", False) else {"bbox_inches": "tight", "pad_inches": 0.08}
    if format == "jpg":
        return cut | {"pil_kwargs": {"quality": JPEG_QUALITY, "comment": seal_of.encode()}}
    return cut | {"metadata": metadata | ({entry: seal_of} if seal_of else {})}


def refuse_dpi(dpi: float | None) -> float | None:
    """Return a resolution, or None if that is given; refuse one that cannot be.

    Raises:
        InputError: It is out of range.
    """
    if dpi is not None and not LEAST_DPI <= dpi <= MOST_DPI:
        raise InputError(f"--dpi must be from {LEAST_DPI} to {MOST_DPI}, got {dpi}")
    return dpi


def _format_of(path: Path) -> str:
    return path.suffix.lower().removeprefix(".").replace("jpeg", "jpg")


def _is_own(path: Path, ids: Sequence[str]) -> bool:
    """Return whether ``path`` is an unchanged picture that lossgrid drew from the surfaces ``ids``."""
    try:
        return bool(ids) and path.is_file() and seal.is_sealed(path.read_bytes(), ids)
    except OSError:
        return False


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


def refuse_to_write(paths: Iterable[Path], *, overwrite: bool, drawn_from: Iterable[Surface] = ()) -> None:
    """Refuse, before the work, paths to which pictures cannot be written.

    Args:
        paths: The pictures.
        overwrite: Whether any file may be replaced.
        drawn_from: The surfaces whose own pictures may be replaced in any case.

    Raises:
        InputError: A suffix is unknown, or a file cannot be written.
    """
    _refuse(list(paths), overwrite=overwrite, ids=seal.ids_of(drawn_from))


def _refuse(paths: Sequence[Path], *, overwrite: bool, ids: Sequence[str]) -> None:
    for path in paths:
        if _format_of(path) not in FORMATS:
            raise InputError(f"{path}: a picture ends in .png, .pdf, .svg, .eps or .jpg; choose one of these")
    for path in paths:
        writing.refuse_to_write([path], overwrite=overwrite or _is_own(path, ids))


def write_all(
    surface: Surface,
    stem: Path,
    options: PictureOptions = DEFAULTS,
    *,
    overwrite: bool,
    format: str = "png",
    title: str | None = None,
    dpi: float | None = None,
) -> list[Path]:
    """Draw ``surface`` in every kind that fits it, as ``<stem>_<kind>.<format>``; return the files.

    Raises:
        InputError: A picture cannot be drawn or written; where one exists already, none is written.
    """
    pictures = {kind: picture_path(stem, kind, format) for kind in kinds_of(surface)}
    refuse_to_write(pictures.values(), overwrite=overwrite, drawn_from=[surface])
    refuse_dpi(dpi)
    labels = [title_of(surface) if title is None else title]
    wanted = {kind: replace(for_relief(options) if kind == "surface" else options, kind=kind) for kind in pictures}
    return [
        save(compose([surface], labels, wanted[kind]), path, overwrite=overwrite, dpi=dpi)
        for kind, path in pictures.items()
    ]


def picture_path(stem: Path, kind: str, format: str) -> Path:
    """Return ``<stem>_<kind>.<format>``; a dot in the stem is part of the name."""
    return stem.with_name(f"{stem.name}_{kind}.{format}")
