"""All numbers of one surface, as ``lossgrid compare`` prints them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from typing import Any

import numpy as np

from lossgrid.numbers.definition import Definition, Number, Subject
from lossgrid.numbers.landscape import of_surface
from lossgrid.numbers.level import Level
from lossgrid.numbers.middle import centre
from lossgrid.numbers.persistence import Minimum, lasting
from lossgrid.numbers.registry import NUMBERS
from lossgrid.surface import INTERPOLATED, Surface


@dataclass(frozen=True)
class Measured:
    """The numbers of one surface.

    Attributes:
        label: Its name.
        file: Its file.
        shape: ``(n_beta, n_alpha)``, or ``(n_alpha,)`` for a line.
        numbers: In the order of the table, the same for all surfaces of a comparison.
        minima: The most persistent local minima.
        notes: The caveats of the surface.
    """

    label: str
    file: str
    shape: tuple[int, ...]
    numbers: list[Number]
    minima: list[Minimum]
    notes: list[str]


def measure(
    surface: Surface,
    name: str,
    *,
    radius: float,
    levels: Sequence[Level],
    vmax: float | None = None,
    also: Iterable[Definition] = (),
) -> tuple[list[Number], list[Minimum]]:
    """Return the numbers of a surface, and its most persistent minima; docs/metrics.md defines them.

    Args:
        surface: A surface, complete or not.
        name: The quantity to measure, such as ``train_loss``.
        radius: Radius around the centre, in lengths of the directions.
        levels: The levels whose sets are measured.
        vmax: Values above are unknown.
        also: More numbers, after those of lossgrid.

    Raises:
        InputError: The surface has no such quantity or no value at its centre, or its grid is too small.
    """

    def subject_of(one: Surface) -> Subject:
        land = of_surface(one, name, vmax=vmax)
        return Subject(_to_read(one, name, vmax), one.quantities[name], land, radius)

    subject = subject_of(surface)
    numbers = [definition(one) for definition, one in _each([*NUMBERS, *also], subject, levels)]
    ends = [subject_of(one) for one in _ends(surface, name)]
    if ends and all(centre(end.land) == centre(subject.land) for end in ends):
        monotone = [one for one in [*NUMBERS, *also] if one.is_monotone]
        low, high = ({n.key: n for n in (take(one) for take, one in _each(monotone, end, levels))} for end in ends)
        numbers = [one.between(low[one.key], high[one.key]) if one.key in low else one for one in numbers]
    return numbers, subject.once(lasting)


def _ends(surface: Surface, name: str) -> list[Surface]:
    """Return the surface at the lower ends and at the upper ends of its error bars; empty without finite bars."""
    bars = surface.bars.get(name)
    if bars is None or not surface.interpolated or not np.isfinite(bars[surface.status == INTERPOLATED]).all():
        return []
    width, values = np.nan_to_num(bars.astype(np.float64), nan=0.0), surface.values[name]
    return [replace(surface, values={**surface.values, name: values + sign * width}) for sign in (-1, 1)]


def _each(
    definitions: Iterable[Definition], subject: Subject, levels: Sequence[Level]
) -> Iterator[tuple[Definition, Subject]]:
    """Yield each definition with its subject in the order of the table: all numbers of a level, then of the next."""
    fitting = (definition for definition in definitions if definition.fits(subject.land))
    for per_level, group in groupby(fitting, key=lambda definition: definition.per_level):
        together = list(group)
        for one in [replace(subject, level=level) for level in levels] if per_level else [subject]:
            yield from ((definition, one) for definition in together)


def _to_read(surface: Surface, name: str, vmax: float | None) -> Surface:
    """Return the surface with read-only arrays, so that no function changes the values of others."""
    values = dict(surface.values)
    if vmax is not None:
        values[name] = np.where(values[name] <= vmax, values[name], np.nan)
    arrays = {one.name: _read_only(getattr(surface, one.name)) for one in fields(surface)}
    return replace(surface, **arrays | {"values": {key: _read_only(array) for key, array in values.items()}})


def _read_only(given: Any) -> Any:
    """Return a read-only view of an array; anything else unchanged."""
    if not isinstance(given, np.ndarray):
        return given
    view = given.view()
    view.flags.writeable = False
    return view
