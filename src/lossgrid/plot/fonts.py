"""Fonts of pictures."""

from __future__ import annotations

from matplotlib.font_manager import fontManager

from lossgrid.errors import InputError, did_you_mean, shown

GENERIC = ("serif", "sans-serif", "cursive", "fantasy", "monospace")


def refuse_font(family: str) -> None:
    """Refuse a family of fonts that matplotlib does not find.

    Raises:
        InputError: There is none of this name.
    """
    known = [*GENERIC, *{font.name for font in fontManager.ttflist}]
    if family not in known:
        raise InputError(
            f"--font: matplotlib finds no font {shown(family)}; give {', '.join(GENERIC)} or an installed one"
            f"{did_you_mean(family, known, most=3)}"
        )
