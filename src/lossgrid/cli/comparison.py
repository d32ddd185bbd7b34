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
from lossgrid.cli.pictures import names_of, read_drawable
from lossgrid.errors import InputError
from lossgrid.numbers import NUMBERS, Definition, Level, Measured, given, measure
from lossgrid.surface.caveats import caveats_of
from lossgrid.views.comparison import LEVELS as LEVELS
from lossgrid.views.comparison import as_records, differences_of_unit
from lossgrid.views.text import as_table as as_table

log = logging.getLogger(__name__)

RECORD = ("label", "file", "shape", "lower_bounds", "notes", "minima_found")  # in JSON beside the numbers


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
    if labels and len(labels) != len(files):
        raise InputError(f"expected one --label for each file, got {len(labels)} for {len(files)}; name all or none")
    heights = [Level.parse(text) for text in levels]
    own = [given(text) for text in also]
    _refuse_taken(own, radius, heights)
    surfaces = [read_drawable(file) for file in files]
    if out is None and draw:
        out = plot.picture_path(files[0].with_suffix(""), "compare", "png")
    if out is not None:
        plot.refuse_to_write([out], overwrite=overwrite)
    if len({surface.is_line for surface in surfaces}) > 1:
        raise InputError("lines and planes have no numbers in common; compare them apart")
    names = list(labels) or names_of(files, surfaces, alike=False)
    measured_of = surfaces[0].quantity(metric)
    if vmax is not None and measured_of.better == "higher":
        raise InputError(f"--vmax is the highest loss, got {vmax:g} with {measured_of.name}; leave it out")
    for warning in differences_of_unit(list(map(str, files)), surfaces):
        log.warning(warning)
    measured = []
    for file, surface, label in zip(files, surfaces, names, strict=True):
        try:
            numbers, found = measure(surface, measured_of.name, radius=radius, levels=heights, vmax=vmax, also=own)
        except InputError as error:
            raise InputError(f"{file}: {error}") from None
        measured.append(Measured(label, str(file), surface.shape, numbers, found, caveats_of(surface)))
    if out is not None:
        figure = plot.side_by_side(surfaces, names, metric=metric, log=log_scale, vmax=vmax)
        log.info("drawn: %s", plot.save(figure, out, overwrite=overwrite))
    return measured


def _refuse_taken(own: Sequence[Definition], radius: float, levels: Sequence[Level]) -> None:
    """Refuse numbers of users whose name is taken.

    Raises:
        InputError: A name is taken.
    """
    taken = {*RECORD, *(key for one in NUMBERS for key in one.keys(radius, levels))}
    for one in own:
        keys = set(one.keys(radius, levels))
        if both := sorted(keys & taken):
            raise InputError(f"--number: the name {both[0]} is taken; give another, NAME=package.module:function")
        taken |= keys


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
            "notes": "; ".join(record["notes"]),
        }
        writer.writerow(record | texts)
    return target.getvalue().encode(errors="replace").decode()  # file names may contain bytes that are not UTF-8
