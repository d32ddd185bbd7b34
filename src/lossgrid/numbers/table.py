"""The table of all numbers in docs/metrics.md: ``python -m lossgrid.numbers.table``."""

from __future__ import annotations

import sys

from lossgrid.numbers.registry import NUMBERS

GRIDS = {"all": "", "line": "lines", "plane": "planes"}


def table() -> str:
    """Return the table."""
    rows = [("in the table", "in JSON and CSV", "unit", "only of", "definition after"), ("---",) * 5]
    rows += [(one.label, f"`{one.key}`", one.units, GRIDS[one.grids], one.source) for one in NUMBERS]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    sys.stdout.write(table())
