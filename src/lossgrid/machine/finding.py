"""Something that is wrong with how ranks compute here, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What to tell the user.

    Attributes:
        seen: What was seen, and why it matters.
        remedy: What to do.
        is_error: True for what makes a run fail or its results wrong, False for what makes it slow or is in doubt.
    """

    seen: str
    remedy: str
    is_error: bool


def error(seen: str, remedy: str) -> Finding:
    """Return what makes a run fail, or its results wrong."""
    return Finding(seen, remedy, is_error=True)


def warning(seen: str, remedy: str) -> Finding:
    """Return what makes a run slow, or is in doubt."""
    return Finding(seen, remedy, is_error=False)
