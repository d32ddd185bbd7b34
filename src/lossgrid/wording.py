"""Words for people: text of any origin made printable; durations, bytes, numbers of ranks."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

ELLIPSIS = "…"
UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def one_line(text: str, most: int = 120) -> str:
    r"""Return ``text`` on one line of at most ``most`` characters, without unprintable characters.

    Line ends and tabs become spaces. Marks that change the direction of writing are dropped. Undecodable bytes of a
    file name become U+FFFD. A long text loses its middle, as file names mostly differ at their ends.

    >>> one_line("two\nlines"), one_line("0123456789", 5)
    ('two lines', '01…89')
    """
    if len(text) > 4 * most:  # a hostile text may be huge: do not process all of it
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


def duration(seconds: float) -> str:
    """Return a time span in words: ``42 s``, ``3 min 05 s``, ``2 h 07 min``.

    >>> duration(42.3), duration(185), duration(7620)
    ('42 s', '3 min 05 s', '2 h 07 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def of_bytes(count: float) -> str:
    """Return a number of bytes in words.

    >>> of_bytes(4.2e10)
    '42 GB'
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"


def of_shape(shape: Iterable[int]) -> str:
    """Return the shape of a grid in words.

    >>> of_shape((3, 51))
    '3 x 51'
    """
    return " x ".join(map(str, shape))


def spans(numbers: Sequence[int]) -> str:
    """Return rising numbers as ``0-3,8``, so that provenance stays small with thousands of ranks.

    >>> spans([0, 1, 2, 3, 8])
    '0-3,8'
    """
    starts = [i for i, number in enumerate(numbers) if i == 0 or numbers[i - 1] != number - 1]
    pairs = [(numbers[a], numbers[b - 1]) for a, b in zip(starts, [*starts[1:], len(numbers)], strict=True)]
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in pairs)


def ordinal(number: int) -> str:
    """Return the ordinal of a number: ``2nd``, ``4th``.

    >>> ordinal(2), ordinal(4), ordinal(11), ordinal(21)
    ('2nd', '4th', '11th', '21st')
    """
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
