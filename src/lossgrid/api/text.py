"""The table of a comparison as text."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossgrid.numbers import Measured
from lossgrid.wording import one_line

SHOWN_MINIMA = 5  # of each surface
INTERVAL = "(a to b)  as far as the error bars of interpolated values allow"
LOWER_BOUND = ">=  goes on beyond the grid, or beyond points that are left out"


def as_table(measured: Sequence[Measured]) -> str:
    """Return the numbers as a text table: a row per number, a column per surface, then the minima."""
    table = _new_table("", *[one.label for one in measured])
    for row in zip(*[one.numbers for one in measured], strict=True):
        table.add_row(row[0].label, *map(str, row))
    text = _render(table)
    if any(number.is_lower for one in measured for number in one.numbers):
        text += f"{LOWER_BOUND}\n"
    if any(number.interval for one in measured for number in one.numbers):
        text += f"{INTERVAL}\n"
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
