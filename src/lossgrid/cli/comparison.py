"""The work of ``lossgrid compare``: a table of numbers of surfaces, and a picture of all on one scale."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path

from lossgrid import plot
from lossgrid.api.comparison import LEVELS as LEVELS
from lossgrid.api.comparison import as_records, compared, refuse_taken
from lossgrid.api.text import as_table as as_table
from lossgrid.cli.pictures import read_drawable
from lossgrid.numbers import Measured, given
from lossgrid.surface.label import labels_of

log = logging.getLogger(__name__)


def compare_files(
    files: Sequence[Path],
    *,
    metric: str | None,
    radius: float,
    levels: Sequence[str],
    log_scale: bool | None,
    vmax: float | None,
    labels: Sequence[str],
    out: Path | None,
    draw: bool,
    overwrite: bool,
    also: Sequence[str] = (),
) -> list[Measured]:
    """Measure surface files and draw them together.

    Args:
        files: Surfaces, all lines or all planes.
        metric: Such as ``test_loss``; by default the first loss; a picture of lines then has all quantities.
        radius: Radius of the sharpness, in lengths of the directions.
        levels: Heights above the centre for width and area, such as ``+0.1`` and ``2x``.
        log_scale: Whether the scale of the picture is logarithmic; None for chosen by the values.
        vmax: Highest value of the picture; points above it are unknown in all numbers.
        labels: A name for each file, or none.
        out: The picture; by default beside the first file.
        draw: Whether to draw without ``out``.
        overwrite: Replace a picture that exists.
        also: Numbers of the user, such as ``package.module:function``.

    Returns:
        The numbers of each file, in the order of the files.

    Raises:
        InputError: Something given cannot work; nothing has been written.
    """
    own = [given(text) for text in also]
    refuse_taken(own, radius, levels)
    surfaces = [read_drawable(file) for file in files]
    if out is None and draw:
        out = plot.picture_path(files[0].with_suffix(""), "compare", "png")
    if out is not None:
        plot.refuse_to_write([out], overwrite=overwrite, drawn_from=surfaces)
    names = list(labels) or labels_of(surfaces)
    found = compared(surfaces, names, metric=metric, radius=radius, levels=levels, vmax=vmax, numbers=own)
    for warning in found.warnings:
        log.warning(warning)
    if out is not None:
        figure = plot.side_by_side(surfaces, names, metric=metric, log=log_scale, vmax=vmax)
        log.info("drawn: %s", plot.save(figure, out, overwrite=overwrite))
    return list(found.measured)


def as_json(measured: Sequence[Measured]) -> str:
    """Return the numbers and all counted minima as JSON."""
    records = as_records(measured)
    for record, one in zip(records, measured, strict=True):
        record["minima_found"] = [
            {name: None if value in (math.inf, -math.inf) else value for name, value in vars(minimum).items()}
            for minimum in one.minima
        ]
    return json.dumps(records, indent=2, allow_nan=False)


def as_csv(measured: Sequence[Measured]) -> str:
    """Return the numbers as CSV: a row per surface; empty for no number."""
    records = as_records(measured)
    target = io.StringIO()
    writer = csv.DictWriter(target, records[0], lineterminator="\n")
    writer.writeheader()
    for record in records:
        texts = {
            "shape": "x".join(map(str, record["shape"])),
            "lower_bounds": " ".join(record["lower_bounds"]),
            "intervals": " ".join(f"{key}={low}:{_limit(high)}" for key, (low, high) in record["intervals"].items()),
            "notes": "; ".join(record["notes"]),
        }
        writer.writerow(record | texts)
    return target.getvalue().encode(errors="replace").decode()  # file names may contain bytes that are not UTF-8


def _limit(high: float | None) -> str:
    return "" if high is None else str(high)
