"""What the paper says, as orders of numbers, and whether the numbers of a run are in these orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]  # of a surface, as lossgrid compare --json writes it
Pair = tuple[str, str]
TELLS = 0.01  # a difference of test errors that is more than chance among a few thousand pictures


@dataclass(frozen=True)
class Claim:
    """A statement of the paper.

    Attributes:
        says: The statement.
        table: The numbers it is judged by, written by a step.
        number: Which of them; defined in docs/metrics.md.
        pairs: Labels of surfaces: each first one has the larger number if the statement is right.
        smaller: Each first one has the smaller number instead.
        by_test_error: The pairs are all of which the first has a test error larger by ``TELLS`` or more.
    """

    says: str
    table: Path
    number: str
    pairs: tuple[Pair, ...] = ()
    smaller: bool = False
    by_test_error: bool = False


def judge(claim: Claim, records: Sequence[Record], test_errors: Mapping[str, float]) -> dict[str, Any]:
    """Return how far the numbers are in the order the statement says, as JSON types.

    It held if all pairs are, in part if more than half, and is open if nothing decides any of them.

    Args:
        claim: The statement.
        records: The table it names. Where a label is there several times, such as for several random directions, the
            first ones are compared with each other, then the second ones, and so on.
        test_errors: Of the network of each surface, by label.
    """
    by_label: dict[str, list[Record]] = {}
    for record in records:
        by_label.setdefault(record["label"], []).append(record)
    pairs = claim.pairs
    if claim.by_test_error:
        pairs = tuple(p for p in permutations(by_label, 2) if test_errors[p[0]] - test_errors[p[1]] >= TELLS)
    found = [
        _ordered(one, other, claim)
        for first, second in pairs
        for one, other in zip(by_label[first], by_label[second], strict=True)
    ]
    right = sum(pair["as stated"] is True for pair in found)
    is_open = all(pair["as stated"] is None for pair in found)
    return {
        "statement": claim.says,
        "number": claim.number,
        "table": claim.table.stem,
        "held": "open" if is_open else "yes" if right == len(found) else "in part" if 2 * right > len(found) else "no",
        "right": right,
        "pairs": found,
    }


def _ordered(first: Record, second: Record, claim: Claim) -> dict[str, Any]:
    """Tell whether two numbers are in the order stated; None where lower bounds leave it open."""
    greater, lesser = (second, first) if claim.smaller else (first, second)
    high, low = greater[claim.number], lesser[claim.number]
    as_stated: bool | None = None
    if high is not None and low is not None:
        if high > low and claim.number not in lesser["lower_bounds"]:
            as_stated = True
        elif high <= low and claim.number not in greater["lower_bounds"]:
            as_stated = False
    return {
        "first": first["label"],
        "second": second["label"],
        "stated": "smaller" if claim.smaller else "larger",
        "numbers": [first[claim.number], second[claim.number]],
        "as stated": as_stated,
    }
