"""The refinement of a surface: how many of its points are interpolated, within which tolerance, and what an audit says.

A file stores it as JSON, which is hostile input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from lossgrid.wording import one_line

UNITS = ("colours", "value")
MOST = 2**63  # points
NAME = 40  # characters of a quantity in text


@dataclass(frozen=True)
class Refinement:
    """What is known of the interpolated points of a surface.

    Attributes:
        tolerance: How far they may be off, as a share of the unit.
        unit: ``colours``, the range of a picture's colours, or ``value``.
        audits: Number of audits; 0 where the run stopped before one.
        audited: Points of the last audit.
        wrong: Points of it that were further off than the tolerance, by quantity.
        most_wrong: So many of the interpolated points are further off at most, with ``confidence``, by quantity; empty
            without an audit.
        confidence: The confidence of all audits together.
        samples: Number of samples of each split that estimates were made of; 0 without estimates.
        sampled: So many of the interpolated points have an estimate.
        work: The work of all values, as a share of that of all points; 0 if it is not known. It exceeds 1 where a
            small surface was estimated and then computed.
    """

    tolerance: float
    unit: str
    audits: int = 0
    audited: int = 0
    wrong: Mapping[str, int] = field(default_factory=dict)
    most_wrong: Mapping[str, int] = field(default_factory=dict)
    confidence: float = 0.95
    samples: int = 0
    sampled: int = 0
    work: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)

    @property
    def limit(self) -> str:
        """The tolerance as text.

        >>> Refinement(0.01, "colours").limit
        '1 % of the colours'
        """
        return f"{100 * self.tolerance:.3g} % of the {self.unit}"

    def in_words(self, interpolated: int, points: int) -> str:
        """Return one sentence about ``interpolated`` of ``points`` points.

        >>> told = Refinement(0.01, "colours", most_wrong={"train_loss": 36, "train_accuracy": 900})
        >>> for part in told.in_words(1912, 2601).split(" of them "):
        ...     print(part)
        1,912 of 2,601 points are interpolated; with 95 % confidence at most 1.9 % (train loss), 47 % (train accuracy)
        are off by more than 1 % of the colours
        """
        parts = f"{interpolated:,} of {points:,} points are interpolated"
        if self.sampled:
            parts += f", {self.sampled:,} of them between values on {self.samples:,} samples"
        if not interpolated:
            return f"no point is interpolated: a tolerance of {self.limit} needs all of them"
        if self.work:
            parts = f"{parts}, for {100 * self.work:.3g} % of the work"
        if not self.most_wrong:
            return f"{parts}; no audit has taken place, so nothing is known of their errors"
        shares = [
            f"{100 * min(1.0, count / interpolated):.2g} % ({_plain(name)})" for name, count in self.most_wrong.items()
        ]
        return (
            f"{parts}; with {100 * self.confidence:.3g} % confidence at most {', '.join(shares)} of them are off by "
            f"more than {self.limit}"
        )


def from_json(stored: Mapping[str, Any]) -> Refinement:
    """Return the refinement that :meth:`Refinement.as_json` wrote; unknown entries are ignored.

    Raises:
        ValueError: An entry is missing, of another type or impossible.
    """
    if absent := [name for name in ("tolerance", "unit") if name not in stored]:
        raise ValueError(f"there is no {absent[0]}")
    given = {one.name: stored[one.name] for one in fields(Refinement) if one.name in stored}
    found = Refinement(**given).as_json()
    for name, most in (("tolerance", 1.0), ("confidence", 1.0), ("work", MOST)):
        if isinstance(found[name], bool) or not isinstance(found[name], (int, float)) or not 0 <= found[name] <= most:
            raise ValueError(f"{name} is no share")
    for name in ("audits", "audited", "samples", "sampled"):
        if not _is_count(found[name]):
            raise ValueError(f"{name} is no number")
    for name in ("wrong", "most_wrong"):
        if not isinstance(found[name], Mapping) or not all(map(_is_count, found[name].values())):
            raise ValueError(f"{name} is no number for each quantity")
    if found["unit"] not in UNITS:
        raise ValueError(f"unit is neither of {', '.join(UNITS)}")
    return Refinement(**given)


def spent_in_words(told: Refinement, rounding: Mapping[str, Any] | None) -> list[str]:
    """Return a sentence about the shares of the tolerance, in a list; none where nothing is kept for rounding.

    Args:
        told: The refinement of a surface.
        rounding: The differences of its computed points from float32, as a file stores them.

    >>> rounding = {"precision": "bfloat16", "points": [[0, 0], [2, 2]], "share": 0.25, "spent": {"train_loss": 0.031}}
    >>> for part in spent_in_words(Refinement(0.01, "colours"), rounding)[0].split("; "):
    ...     print(part)
    of the tolerance, 25 % are kept for rounding to bfloat16, which takes 3.1 % (train loss) at 2 computed points
    75 % are for interpolation, which the audit judges
    """
    if rounding is None or not rounding.get("spent"):
        return []
    share, spent = rounding["share"], rounding["spent"]
    parts = [f"{'all' if one is None else f'{100 * one:.2g} %'} ({_plain(name)})" for name, one in spent.items()]
    over = any(one is None or one > share for one in spent.values())
    return [
        f"of the tolerance, {100 * share:.3g} % are kept for rounding to {one_line(rounding['precision'], NAME)}, "
        f"which takes {', '.join(parts)} at {len(rounding['points'])} computed points"
        f"{': more than is kept, so values may be further off than the audit says' if over else ''}; "
        f"{100 * (1 - share):.3g} % are for interpolation{' and samples together' if told.samples else ''}, which the "
        "audit judges"
    ]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST


def _plain(name: str) -> str:
    return one_line(name.replace("_", " "), NAME)
