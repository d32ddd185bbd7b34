"""The protocol of a data set with a name: its options, its splits, and reading a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

# The options of a data set: for each name its values, each with its meaning; no values if any value is allowed.
# The only value FOLDER or FILE says that the option is a location, which the identity of the data leaves out.
# The name OTHERS says that ``read`` takes further options, and refuses those that it does not know.
Options = Mapping[str, Mapping[str, str]]
OTHERS = "..."
LOCATIONS = ("FOLDER", "FILE")


class Reader(Protocol):
    """A data set with a name: ``--data NAME``, or ``--data NAME:LOCATION`` if its location must be given."""

    @property
    def name(self) -> str:
        """Its name in ``--data``."""

    @property
    def location(self) -> str:
        """The placeholder for its location in help texts, such as ``FOLDER``; empty if it has no location."""

    @property
    def options(self) -> Options:
        """The keyword arguments of :meth:`read` that users may set by ``--data-arg K=V``."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of its splits; empty if its location decides. Then :meth:`read` refuses other names."""

    def classes(self, location: str) -> int | None:
        """Return the number of classes; None if the largest class among the targets decides."""

    @property
    def read(self) -> Callable[..., tuple[Any, Any]]:
        """A function that returns inputs ``(n, ...)`` and targets ``(n, ...)`` of a split as arrays.

        It is called as ``read(split, location=..., max_samples=..., **options)``. ``location`` is the text after the
        colon, empty without one. ``max_samples`` is None, or the number of samples that the caller will keep, spread
        evenly; the function may return more. It raises InputError if data are missing or damaged, or the value of an
        option is wrong.
        """
