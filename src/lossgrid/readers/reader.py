"""What a data set is: its name, what may be told of it, and how a split of it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

# The arguments a data set takes: by name its values, each with what it is; no values where any may be given.
Options = Mapping[str, Mapping[str, str]]


class Reader(Protocol):
    """A data set by name: ``--data NAME``, or ``--data NAME:LOCATION`` where the user says where it lies."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def location(self) -> str:
        """What the help writes for its location, such as ``FOLDER``; empty where it has none."""

    @property
    def options(self) -> Options:
        """The keyword arguments of :meth:`read` that users may give, as ``--data-arg K=V``."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits it has."""

    @property
    def classes(self) -> int | None:
        """Number of classes, where the largest class among the targets does not tell it."""

    @property
    def read(self) -> Callable[..., tuple[Any, Any]]:
        """Inputs ``(n, ...)`` and targets ``(n, ...)`` of a split as arrays, for ``read(split, ..., **options)``.

        Its keyword arguments are ``location``, what stands after the colon, empty where it has none; ``max_samples``,
        an int or None, how many samples are kept of all, spread evenly, of which it may return more; and its options.
        It raises InputError where data are missing or damaged, or an option has a value it cannot have.
        """

    def identity(self, location: str) -> str:
        """Return what surfaces of the same data have in common, besides digests: mostly the name alone.

        Where data lie is left out: the digests of the samples tell whether they are the same.
        """
