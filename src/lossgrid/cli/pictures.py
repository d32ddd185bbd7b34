"""The work of ``lossgrid plot``: from surface files to pictures."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from lossgrid import plot, store
from lossgrid.errors import InputError
from lossgrid.surface import PENDING, Surface
from lossgrid.surface.label import labels_of

log = logging.getLogger(__name__)


def draw_files(
    files: list[Path],
    options: plot.PictureOptions,
    *,
    labels: list[str],
    format: str,
    out: Path | None,
    overwrite: bool,
    title: str | None = None,
    dpi: float | None = None,
) -> list[Path]:
    """Draw one surface file in every kind that fits it, or in one kind, or several files side by side.

    Args:
        files: Surfaces, complete or not.
        options: The options of the pictures; a band without labels is of all lines.
        labels: A name for each file, or none; by default the labels of the surfaces, or else the names of the files.
        format: A key of :data:`lossgrid.plot.FORMATS`, where ``out`` does not say.
        out: The picture; by default beside the first file.
        overwrite: Replace pictures that exist, also others than those that lossgrid drew from these files.
        title: Text above the picture; of one file instead of its label.
        dpi: Dots per inch; None for the default.

    Returns:
        The pictures written.

    Raises:
        InputError: Something given cannot work; nothing has been written.
    """
    if labels and len(labels) != len(files):
        raise InputError(f"expected one --label for each file, got {len(labels)} for {len(files)}; name all or none")
    plot.refuse_dpi(dpi)
    surfaces = [read_drawable(file) for file in files]
    stem = files[0].with_suffix("")
    is_one = len(files) == 1
    alike = [plot.title_of(surfaces[0])] * len(files) if is_one or options.band else labels_of(surfaces)
    labels = labels or alike
    if is_one and title is not None:
        labels = [title]
    if is_one and options.kind is None and out is None:
        return plot.write_all(surfaces[0], stem, options, overwrite=overwrite, format=format, title=labels[0], dpi=dpi)
    together = "band" if options.band else "side_by_side"
    path = out or plot.picture_path(stem, options.kind if is_one and options.kind else together, format)
    plot.refuse_to_write([path], overwrite=overwrite, drawn_from=surfaces)
    figure = plot.compose(surfaces, labels, options, title="" if is_one else title or "")
    return [plot.save(figure, path, overwrite=overwrite, dpi=dpi)]


def read_drawable(file: Path) -> Surface:
    """Return the surface in ``file``; warn if it is not complete.

    Raises:
        InputError: It cannot be read, or no point was computed.
    """
    surface = store.read(file)
    has_value = np.any([~np.isnan(values) for values in surface.values.values()], axis=0)
    blank = int(np.count_nonzero((surface.status == PENDING) & ~has_value))
    if blank == surface.status.size:
        was_imported = surface.origin.imported is not None
        way_out = "the file it was imported from holds none" if was_imported else "run lossgrid run first"
        raise InputError(f"{file}: no point has been computed yet; {way_out}")
    if blank:
        log.warning("%s: %d of %d points are pending and drawn blank", file, blank, surface.status.size)
    return surface
