"""The socket of formats: name, ending and the function that writes a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """A format of another tool.

    Attributes:
        name: The value of ``--to``.
        ending: The ending of its files, such as ``.csv``; empty if the user must give ``--out``.
        help: A description of the format.
        write: The function ``write(surface, path)``, which creates the file ``path``.
        takes_height: Whether one quantity becomes a height. Then the function is ``write(surface, path, options)``
            with :class:`~lossgrid.formats.heights.HeightOptions`; else it writes all quantities unchanged.
    """

    name: str
    ending: str
    help: str
    write: Callable[..., object]
    takes_height: bool = False
