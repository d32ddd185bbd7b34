"""Text from files and command lines, made fit to be shown: one line, printable, not too long."""

from __future__ import annotations

import unicodedata

ELLIPSIS = "…"
UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def one_line(text: str, most: int = 120) -> str:
    r"""Return ``text`` on one line of at most ``most`` characters, without what cannot be printed.

    Line ends and tabs become spaces. Marks that change the direction of writing are dropped. Bytes of a file name that
    are no characters become U+FFFD. A long text loses its middle, as names of files mostly differ at their ends.

    >>> one_line("two\nlines"), one_line("0123456789", 5)
    ('two lines', '01…89')
    """
    if len(text) > 4 * most:  # enough to show; a hostile text may be huge
        text = text[: 2 * most] + text[-2 * most :]
    shown = " ".join("".join(map(_printable, text)).split())
    if len(shown) <= most:
        return shown
    end = (most - 1) // 2
    return shown[: most - 1 - end] + ELLIPSIS + shown[len(shown) - end :]


def _printable(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    if category == "Cf":
        return ""
    return UNKNOWN if category.startswith("C") else character
