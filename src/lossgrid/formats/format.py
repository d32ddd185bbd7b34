"""The socket of formats: what a format is called, how its files end, and the function that writes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """A format of another tool.

    Attributes:
        name: What ``--to`` calls it.
        ending: How its files are called after the name of the surface, such as ``.csv``; empty where only the user
            knows.
        help: A description of the format.
        write: The function ``write(surface, path)``, which makes the file ``path``.
        takes_height: Whether one quantity is a height in it: then the function is ``write(surface, path, options)``,
            with :class:`~lossgrid.formats.heights.HeightOptions`. Else it takes all quantities as they are.
    """

    name: str
    ending: str
    help: str
    write: Callable[..., object]
    takes_height: bool = False
