"""Sessions: the runs that computed a surface, each with its ranks and seconds.

The file stores them as text of fixed length, so that a new session changes bytes but not the structure. The idle time
of a rank is its seconds less those of its points.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

TEXT_BYTES = 2000


@dataclass(frozen=True)
class Session:
    """Runs with the same number of ranks.

    Attributes:
        ranks: Number of ranks.
        began: UNIX time at which the first run began to compute.
        seconds: Total time of the runs; None if one is running or was killed.
    """

    ranks: int
    began: float
    seconds: float | None


def read(text: str) -> tuple[Session, ...]:
    """Return the sessions in a text that :func:`write` wrote; the last one may be running.

    Raises:
        ValueError: The text is something else.
    """
    try:
        entries = json.loads(text or "[]")
    except RecursionError:
        raise ValueError("too deeply nested") from None
    if not isinstance(entries, list) or not all(map(_is_session, entries)):
        raise ValueError("expected [ranks, time, seconds] for each session")
    return tuple(Session(*entry) for entry in entries)


def _is_session(entry: object) -> bool:
    if not isinstance(entry, list) or len(entry) != len(("ranks", "began", "seconds")):
        return False
    ranks, began, seconds = entry
    return isinstance(ranks, int) and isinstance(began, (int, float)) and isinstance(seconds, (int, float, type(None)))


def write(sessions: Sequence[Session]) -> str:
    """Return the sessions as text of ``TEXT_BYTES`` characters; if they do not fit, one entry without time."""
    text = json.dumps([astuple(session) for session in sessions])
    if len(text) > TEXT_BYTES:
        most = max(session.ranks for session in sessions)
        text = json.dumps([astuple(Session(most, sessions[0].began, None))])
    return text.ljust(TEXT_BYTES)


def begin(sessions: Sequence[Session], *, ranks: int, now: float) -> tuple[Session, ...]:
    """Return the sessions and a new one that begins ``now``; earlier open sessions were killed."""
    merged: dict[int, Session] = {}
    for session in sessions:
        first = merged.get(session.ranks)
        if first is None:
            merged[session.ranks] = session
        elif first.seconds is not None:
            both = None if session.seconds is None else first.seconds + session.seconds
            merged[session.ranks] = replace(first, seconds=both)
    return (*merged.values(), Session(ranks, now, None))


def end(sessions: Sequence[Session], *, seconds: float) -> tuple[Session, ...]:
    """Return the sessions, the last of which ended after ``seconds``."""
    return (*sessions[:-1], replace(sessions[-1], seconds=seconds)) if sessions else ()


def seconds_of(sessions: Sequence[Session], rank: int, *, now: float | None = None) -> float | None:
    """Return the seconds of all sessions with ``rank``; None if a session has none.

    Args:
        sessions: The sessions.
        rank: Which rank.
        now: UNIX time, if the last session is running.
    """
    if now is not None and sessions:
        sessions = end(sessions, seconds=max(0.0, now - sessions[-1].began))
    own = [session.seconds for session in sessions if session.ranks > rank]
    known = [seconds for seconds in own if seconds is not None]
    return sum(known) if known and len(known) == len(own) else None
