"""Tables of HTML, for notebooks; all text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from lossgrid.wording import one_line


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, notes: Sequence[str] = ()) -> str:
    """Return a table; the first cell of a row is its head, and notes follow below.

    >>> table(["", "loss"], [["train", "<1"]], caption="a").count("&lt;1")
    1
    """
    head = "".join(f"<th>{_safe(text)}</th>" for text in heads)
    body = "".join(
        f"<tr><th>{_safe(first)}</th>" + "".join(f"<td>{_safe(text)}</td>" for text in others) + "</tr>"
        for first, *others in rows
    )
    below = "".join(f"<div>{_safe(note, 300)}</div>" for note in notes)
    return (
        f"<table><caption>{_safe(caption, 300)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>{below}"
    )


def _safe(text: str, most: int = 120) -> str:
    return html.escape(one_line(text, most))
