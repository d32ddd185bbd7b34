"""The work of ``lossgrid compare``: a table of numbers of surfaces, and a picture of all on one scale."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossgrid import plot
from lossgrid.cli.pictures import names_of, read_drawable
from lossgrid.errors import InputError
from lossgrid.numbers import NUMBERS, Definition, Level, Measured, given, measure
from lossgrid.surface import Surface
from lossgrid.surface.caveats import caveats_of
from lossgrid.wording import one_line

log = logging.getLogger(__name__)

LEVELS = ("+0.1", "+0.5", "+1", "2x")
RADIUS = 0.5
SHOWN_MINIMA = 5  # of each surface
RECORD = ("label", "file", "shape", "lower_bounds", "notes", "minima_found")  # in JSON beside the numbers
# Settings that decide the units of loss and lengths, and the word for a file without them.
UNIT_OF = {"loss": "unknown", "loss_arg": "none", "norm": "unknown"}


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
    _warn_of_units(files, surfaces)
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


def _warn_of_units(files: Sequence[Path], surfaces: Sequence[Surface]) -> None:
    """Log a warning if numbers of the surfaces have different units."""
    for name, without in UNIT_OF.items():
        values = (str(surface.origin.settings.get(name) or without) for surface in surfaces)
        found = dict(zip(values, files, strict=True))
        if len(found) > 1:
            pairs = ", ".join(f"{one_line(value)} in {file}" for value, file in found.items())
            log.warning("%s differs, and with it the unit of some numbers: %s", name.replace("_", "-"), pairs)


def as_table(measured: Sequence[Measured]) -> str:
    """Return the numbers as a text table: a row per number, a column per surface, then the minima."""
    table = _new_table("", *[one.label for one in measured])
    for row in zip(*[one.numbers for one in measured], strict=True):
        table.add_row(row[0].label, *map(str, row))
    text = _render(table)
    if any(number.is_lower for one in measured for number in one.numbers):
        text += ">=  goes on beyond the grid, or beyond points that are left out\n"
    several = [one for one in measured if len(one.minima) > 1]
    if several:
        text += "\n" + _render(_table_of_minima(several))
    return text + "".join(f"{one_line(one.label)}: {note}\n" for one in measured for note in one.notes)


def _table_of_minima(measured: Sequence[Measured]) -> Table:
    is_line = len(measured[0].shape) == 1
    axes = ["alpha"] if is_line else ["alpha", "beta"]
    table = _new_table("most persistent minima", *axes, "depth", "persistence", "")
    for one in measured:
        for number, minimum in enumerate(one.minima[:SHOWN_MINIMA]):
            coordinates = [minimum.alpha] if minimum.beta is None else [minimum.alpha, minimum.beta]
            table.add_row(
                one_line(one.label) if number == 0 else "",
                *[f"{value:.4g}" for value in (*coordinates, minimum.loss, minimum.persistence)],
                "at the border" if minimum.on_border else "",
            )
        if len(one.minima) > SHOWN_MINIMA:
            table.add_row(f"  and {len(one.minima) - SHOWN_MINIMA} more")
    return table


def _new_table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(Text(one_line(name)), no_wrap=True, justify="right")
    return table


def _render(table: Table) -> str:
    """Return a table as text, as wide as needed, without colours."""
    target = io.StringIO()
    Console(file=target, width=10_000, color_system=None, highlight=False, markup=False).print(table)
    return "".join(f"{line.rstrip()}\n" for line in target.getvalue().splitlines())


def as_records(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Return the numbers as JSON types, a flat record per surface."""
    return [
        {
            "label": one.label,
            "file": one.file,
            "shape": list(one.shape),
            **{number.key: number.value for number in one.numbers},
            "lower_bounds": [number.key for number in one.numbers if number.is_lower],
            "notes": one.notes,
        }
        for one in measured
    ]


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
