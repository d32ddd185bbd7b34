"""A problem of the installation or the machine, and its remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A problem to report to the user.

    Attributes:
        seen: The observation, and why it matters.
        remedy: What to do.
        is_error: True if a run would fail or have wrong results; False if it would be slow, or in doubt.
    """

    seen: str
    remedy: str
    is_error: bool


def error(seen: str, remedy: str) -> Finding:
    """Return a finding that makes a run fail, or its results wrong."""
    return Finding(seen, remedy, is_error=True)


def warning(seen: str, remedy: str) -> Finding:
    """Return a finding that makes a run slow, or is in doubt."""
    return Finding(seen, remedy, is_error=False)
