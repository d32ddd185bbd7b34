"""The data sets with a name. To add one, write a module with its reader and add a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossgrid.readers.cifar10 import Cifar10
from lossgrid.readers.digits import Digits
from lossgrid.readers.images import Images
from lossgrid.readers.npz import Npz
from lossgrid.readers.reader import LOCATIONS, OTHERS, Reader
from lossgrid.readers.torchvision import Torchvision

_OWN: tuple[Reader, ...] = (
    Digits(),
    Cifar10(),
    Npz(),
    Images(),
    Torchvision(),
)
READERS: dict[str, Reader] = {reader.name: reader for reader in _OWN}

USERS = "package.module:function"


def find(data: str) -> tuple[Reader, str] | None:
    """Return the reader that ``--data`` names, and its location; None if it names no reader, as for a user's function.

    >>> find("digits")[1], find("cifar10:pictures/here")[1], find("mine:digits")
    ('', 'pictures/here', None)
    """
    name, colon, location = data.partition(":")
    reader = READERS.get(name)
    return (reader, location) if reader is not None and bool(colon) == bool(reader.location) else None


def identity(data: str) -> str:
    """Return the identity of the data of ``--data``: equal for two texts that may name the same samples.

    The location is left out: equal data may lie in different folders, and digests compare the samples.
    """
    found = find(data)
    return data if found is None else found[0].name


def without_locations(data: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of data without those that are locations; digests compare the samples.

    >>> without_locations("torchvision:MNIST", {"root": "here", "resize": 8})
    {'resize': 8}
    """
    found = find(data)
    options = {} if found is None else found[0].options
    return {key: value for key, value in args.items() if not _is_location(options.get(key, {}))}


def _is_location(values: Mapping[str, str]) -> bool:
    return len(values) == 1 and next(iter(values)) in LOCATIONS


def form(reader: Reader) -> str:
    """Return the form of ``--data`` for a data set: ``cifar10:FOLDER``."""
    return f"{reader.name}:{reader.location}" if reader.location else reader.name


def forms(users: str = USERS) -> list[str]:
    """Return all forms of ``--data``, that of users' functions last."""
    return [*map(form, READERS.values()), users]


def about_options() -> str:
    """Return the help for the options of data sets: ``cifar10 takes normalize=li (the paper's), none.``."""
    return " ".join(
        f"{reader.name} takes {', '.join(_option(key, values) for key, values in reader.options.items())}."
        for reader in READERS.values()
        if reader.options
    )


def _option(key: str, values: Mapping[str, str]) -> str:
    return next(iter(values)) if key == OTHERS else f"{key}={_values(values)}"


def _values(values: Mapping[str, str]) -> str:
    if not values:
        return "V"
    return ", ".join(f"{value} ({meaning})" if meaning else value for value, meaning in values.items())
