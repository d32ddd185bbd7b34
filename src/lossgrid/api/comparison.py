"""Surfaces compared in Python: a table of numbers that shows itself, and a picture on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossgrid import store
from lossgrid.api import html, text
from lossgrid.api.words import in_python
from lossgrid.errors import InputError
from lossgrid.numbers import NUMBERS, Definition, Level, Measured, given, measure
from lossgrid.surface import Surface
from lossgrid.surface.caveats import caveats_of
from lossgrid.surface.label import labels_of
from lossgrid.wording import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = ("+0.1", "+0.5", "+1", "2x")
RADIUS = 0.5
RECORD = (
    "label",
    "file",
    "shape",
    "lower_bounds",
    "intervals",
    "notes",
    "minima_found",
)  # in records beside the numbers
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
        if any(number.interval for one in self.measured for number in one.numbers):
            notes.append(text.INTERVAL)
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


@in_python(vmax="vmax", label="label", number="numbers")
def compare(
    *surfaces: Surface | str | Path | Sequence[Surface | str | Path],
    labels: Sequence[str] = (),
    metric: str | None = None,
    radius: float = RADIUS,
    levels: Sequence[str] = LEVELS,
    vmax: float | None = None,
    numbers: Sequence[str | Definition] = (),
) -> Comparison:
    """Return the numbers of surfaces side by side, as ``lossgrid compare`` prints them; docs/metrics.md defines them.

    Args:
        surfaces: Surfaces or their files, all lines or all planes; or a list of them.
        labels: A name for each; by default the labels of the surfaces, or else the names of the files.
        metric: The quantity to measure, such as ``test_loss``; None for the first loss.
        radius: Radius of the sharpness, in lengths of the directions.
        levels: Heights above the centre for width and area, such as ``+0.1`` and ``2x``.
        vmax: Highest loss; points above it are unknown in all numbers.
        numbers: Numbers of your own, after those of lossgrid: definitions, or ``NAME=package.module:function``.

    Raises:
        InputError: A surface has no such quantity or no value at its centre, or they cannot be compared.
    """
    read = [_read(one) for some in surfaces for one in (some if isinstance(some, (list, tuple)) else [some])]
    own = [given(one) if isinstance(one, str) else one for one in numbers]
    names = list(labels) or labels_of(read)
    return compared(read, names, metric=metric, radius=radius, levels=levels, vmax=vmax, numbers=own)


def compared(
    read: Sequence[Surface],
    names: Sequence[str],
    *,
    metric: str | None,
    radius: float,
    levels: Sequence[str],
    vmax: float | None,
    numbers: Sequence[Definition],
) -> Comparison:
    """Return the numbers of surfaces side by side, each with its name; see :func:`compare`.

    Raises:
        InputError: A surface has no such quantity or no value at its centre, or they cannot be compared.
    """
    if not read:
        raise InputError("expected one surface or more to compare, got none")
    if len(names) != len(read):
        raise InputError(f"expected one --label for each surface, got {len(names)} for {len(read)}; name all or none")
    if len({surface.is_line for surface in read}) > 1:
        raise InputError("lines and planes have no numbers in common; compare them apart")
    quantity = read[0].quantity(metric)
    if vmax is not None and quantity.better == "higher":
        raise InputError(f"--vmax is the highest loss, got {vmax:g} with {quantity.name}; leave it out")
    heights = [Level.parse(level) for level in levels]
    refuse_taken(numbers, radius, levels)
    files = ["" if surface.path is None else str(surface.path) for surface in read]
    words = [one_line(file or name) for file, name in zip(files, names, strict=True)]
    measured = []
    for name, file, word, surface in zip(names, files, words, read, strict=True):
        try:
            found, minima = measure(surface, quantity.name, radius=radius, levels=heights, vmax=vmax, also=numbers)
        except InputError as error:
            raise InputError(f"{word}: {error}") from None
        measured.append(Measured(name, file, surface.shape, found, minima, caveats_of(surface)))
    return Comparison(tuple(read), tuple(measured), quantity.name, tuple(differences_of_unit(words, read)))


def _read(given: Any) -> Surface:
    if isinstance(given, (str, Path)):
        return store.read(given)
    if not isinstance(given, Surface):
        raise InputError(f"expected surfaces or their files, got {type(given).__name__}")
    return given


def refuse_taken(own: Sequence[Definition], radius: float, levels: Sequence[str]) -> None:
    """Refuse numbers of users whose name is taken.

    Raises:
        InputError: A name is taken.
    """
    heights = [Level.parse(level) for level in levels]
    taken = {*RECORD, *(key for one in NUMBERS for key in one.keys(radius, heights))}
    for one in own:
        keys = set(one.keys(radius, heights))
        if both := sorted(keys & taken):
            raise InputError(f"--number: the name {both[0]} is taken; give another, NAME=package.module:function")
        taken |= keys


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
            "intervals": {number.key: list(number.interval) for number in one.numbers if number.interval is not None},
            "notes": one.notes,
        }
        for one in measured
    ]
