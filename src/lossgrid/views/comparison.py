"""Surfaces compared in Python: a table of numbers that shows itself, and a picture on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossgrid import store
from lossgrid.errors import InputError
from lossgrid.numbers import Level, Measured, measure
from lossgrid.surface import Surface
from lossgrid.surface.caveats import caveats_of
from lossgrid.views import html, text
from lossgrid.wording import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = ("+0.1", "+0.5", "+1", "2x")
RADIUS = 0.5
# Settings that decide the units of loss and lengths, and the word for a file without them.
UNIT_OF = {"loss": "unknown", "loss_arg": "none", "norm": "unknown"}


@dataclass(frozen=True, repr=False)
class Comparison:
    """The numbers of surfaces side by side; it shows itself as a table.

    Attributes:
        surfaces: The surfaces, all lines or all planes.
        measured: The numbers of each.
        metric: The quantity that was measured, such as ``train_loss``.
        warnings: Settings that give the numbers different units.
    """

    surfaces: tuple[Surface, ...]
    measured: tuple[Measured, ...]
    metric: str
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return text.as_table(self.measured) + "".join(f"{warning}\n" for warning in self.warnings)

    def _repr_html_(self) -> str:
        """Return the table as HTML, for notebooks."""
        rows = [[row[0].label, *map(str, row)] for row in zip(*[one.numbers for one in self.measured], strict=True)]
        notes = [f"{one_line(one.label)}: {note}" for one in self.measured for note in one.notes]
        if any(number.is_lower for one in self.measured for number in one.numbers):
            notes.append(text.LOWER_BOUND)
        heads = ["", *[one.label for one in self.measured]]
        return html.table(heads, rows, caption=self.metric.replace("_", " "), notes=[*notes, *self.warnings])

    def records(self) -> list[dict[str, Any]]:
        """Return a flat dict for each surface, such as ``pandas.DataFrame`` takes: label, file and numbers by key."""
        return as_records(self.measured)

    def plot(self, **options: Any) -> Figure:
        """Return a figure of all surfaces on one scale; see :func:`lossgrid.plot.side_by_side` for the options."""
        from lossgrid import plot  # loads matplotlib

        metric = None if self.surfaces[0].is_line else self.metric
        return plot.side_by_side(self.surfaces, [one.label for one in self.measured], **{"metric": metric, **options})


def compare(
    *surfaces: Surface | str | Path,
    labels: Sequence[str] = (),
    metric: str | None = None,
    radius: float = RADIUS,
    levels: Sequence[str] = LEVELS,
    vmax: float | None = None,
) -> Comparison:
    """Return the numbers of surfaces side by side, as ``lossgrid compare`` prints them; docs/metrics.md defines them.

    Args:
        surfaces: Surfaces or their files, all lines or all planes.
        labels: A name for each; by default the names of the files.
        metric: The quantity to measure, such as ``test_loss``; None for the first loss.
        radius: Radius of the sharpness, in lengths of the directions.
        levels: Heights above the centre for width and area, such as ``+0.1`` and ``2x``.
        vmax: Highest loss; points above it are unknown in all numbers.

    Raises:
        InputError: A surface has no such quantity or no value at its centre, or they cannot be compared.
    """
    read = [one if isinstance(one, Surface) else store.read(one) for one in surfaces]
    if not read:
        raise InputError("expected one surface or more to compare, got none")
    if labels and len(labels) != len(read):
        raise InputError(f"labels: expected one for each surface, got {len(labels)} for {len(read)}")
    if len({surface.is_line for surface in read}) > 1:
        raise InputError("lines and planes have no numbers in common; compare them apart")
    names = list(labels) or _names_of(read)
    quantity = read[0].quantity(metric)
    if vmax is not None and quantity.better == "higher":
        raise InputError(f"vmax is the highest loss, got {vmax:g} with {quantity.name}; leave it out")
    heights = [Level.parse(level) for level in levels]
    measured = []
    for name, surface in zip(names, read, strict=True):
        try:
            numbers, minima = measure(surface, quantity.name, radius=radius, levels=heights, vmax=vmax)
        except InputError as error:
            raise InputError(f"{one_line(name)}: {error}") from None
        file = "" if surface.path is None else str(surface.path)
        measured.append(Measured(name, file, surface.shape, numbers, minima, caveats_of(surface)))
    return Comparison(tuple(read), tuple(measured), quantity.name, tuple(differences_of_unit(names, read)))


def _names_of(surfaces: Sequence[Surface]) -> list[str]:
    """Return the stems of the files; numbers where a surface has no file or stems are equal."""
    stems = ["" if surface.path is None else surface.path.stem for surface in surfaces]
    is_unique = len(set(stems)) == len(stems) and "" not in stems
    return stems if is_unique else [f"surface {number}" for number in range(1, len(stems) + 1)]


def differences_of_unit(names: Sequence[str], surfaces: Sequence[Surface]) -> list[str]:
    """Return a warning for each setting that gives the numbers of the surfaces different units."""
    warnings = []
    for setting, without in UNIT_OF.items():
        values = (str(one.origin.settings.get(setting) or without) for one in surfaces)
        found = dict(zip(values, names, strict=True))
        if len(found) > 1:
            pairs = ", ".join(f"{one_line(value)} in {name}" for value, name in found.items())
            warnings.append(f"{setting.replace('_', '-')} differs, and with it the unit of some numbers: {pairs}")
    return warnings


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
