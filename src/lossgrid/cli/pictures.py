"""The work of ``lossgrid plot``: surface files in, pictures out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lossgrid import plot, store
from lossgrid.errors import InputError
from lossgrid.surface import PENDING, Surface

log_of_module = logging.getLogger(__name__)


def draw_files(
    files: list[Path],
    *,
    kind: str | None,
    metric: str | None,
    log: bool | None,
    vmin: float | None,
    vmax: float | None,
    levels: int | None,
    labels: list[str],
    band: bool,
    format: str,
    out: Path | None,
    overwrite: bool,
) -> list[Path]:
    """Draw one surface file in every way that fits it, or in one way, or several files side by side.

    Args:
        files: Surfaces, complete or not.
        kind: One picture of this kind instead of all.
        metric: Such as ``test_loss``; by default the first.
        log: Whether the scale is logarithmic; by default what the values need.
        vmin: Lowest value of the scale.
        vmax: Highest value of the scale.
        levels: About how many contours.
        labels: A name for each file, or none; by default the names of the files.
        band: Draw lines of the same name as one, their mean and range; without names all of them.
        format: ``png``, ``pdf`` or ``svg``, where ``out`` does not say.
        out: The picture; by default beside the first file.
        overwrite: Replace pictures that exist.

    Returns:
        The pictures written.

    Raises:
        InputError: Something given cannot work; nothing has been written.
    """
    if labels and len(labels) != len(files):
        raise InputError(f"expected one --label for each file, got {len(labels)} for {len(files)}; name all or none")
    surfaces = [read_drawable(file) for file in files]
    stem = files[0].with_suffix("")
    title = labels[0] if labels else None
    if len(files) == 1 and kind is None and out is None:
        return plot.write_all(
            surfaces[0], stem, overwrite=overwrite, format=format, metric=metric, log=log, vmin=vmin, vmax=vmax,
            levels=levels, title=title,
        )  # fmt: skip
    together = "band" if band else "side_by_side"
    path = out or plot.picture_path(stem, kind if len(files) == 1 and kind else together, format)
    plot.refuse_to_write([path], overwrite=overwrite)
    if len(files) == 1:
        figure = plot.draw(
            surfaces[0], kind=kind, metric=metric, log=log, vmin=vmin, vmax=vmax, levels=levels, title=title
        )
    else:
        figure = plot.side_by_side(
            surfaces, labels or names_of(files, surfaces, band=band), kind=kind, metric=metric, log=log, vmin=vmin,
            vmax=vmax, levels=levels, band=band,
        )  # fmt: skip
    return [plot.save(figure, path, overwrite=overwrite)]


def read_drawable(file: Path) -> Surface:
    """Read a surface that has something to draw, with a warning where it is not complete."""
    surface = store.read(file)
    known = np.any([~np.isnan(values) for values in surface.values.values()], axis=0)
    blank = int(np.count_nonzero((surface.status == PENDING) & ~known))
    if blank == surface.status.size:
        was_imported = surface.origin.imported is not None
        way_out = "the file it was imported from holds none" if was_imported else "run lossgrid run first"
        raise InputError(f"{file}: no point has been computed yet; {way_out}")
    if blank:
        log_of_module.warning("%s: %d of %d points are pending and drawn blank", file, blank, surface.status.size)
    return surface


def names_of(files: Sequence[Path], surfaces: Sequence[Surface], *, band: bool) -> list[str]:
    """Name files by their stems, and by their paths where stems would not tell them apart; for a band all alike."""
    if band:
        return [plot.title_of(surfaces[0])] * len(files)
    stems = [file.stem for file in files]
    return stems if len(set(stems)) == len(stems) else [str(file.with_suffix("")) for file in files]
