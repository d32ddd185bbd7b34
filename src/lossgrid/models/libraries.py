"""Networks of other libraries, ``LIBRARY:NAME``. To add a library, write a module that builds and a line here.

The name of a library before the colon always means the library, never a user's module of that name. Nothing is ever
downloaded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lossgrid import user_code
from lossgrid.errors import shown
from lossgrid.machine.packages import in_working_folder
from lossgrid.models import of_timm, of_torchvision, of_transformers

log = logging.getLogger(__name__)


def _no_checkpoint(name: str) -> None:
    """Return None: a network of this library comes without weights."""


@dataclass(frozen=True)
class Library:
    """A library of networks.

    Attributes:
        package: The package whose version belongs to the origin of a surface.
        build: Returns a new network of a name, from the user's arguments and from those known from the data.
        checkpoint: Returns the checkpoint that comes with a network of a name; None if there is none.
    """

    package: str
    build: Callable[[str, Mapping[str, Any], Mapping[str, int]], nn.Module]
    checkpoint: Callable[[str], Path | None] = _no_checkpoint


LIBRARIES = {
    "timm": Library("timm", of_timm.build),
    "torchvision": Library("torchvision", of_torchvision.build),
    "hf": Library("transformers", of_transformers.build, of_transformers.checkpoint_of),
}


def find_library(model: str) -> tuple[Library, str] | None:
    """Return the library that ``--model`` names, and the name of the network in it; None if it names no library.

    >>> find_library("mine:net"), find_library("mlp")
    (None, None)
    """
    prefix, colon, name = model.partition(":")
    return (LIBRARIES[prefix], name) if colon and prefix in LIBRARIES else None


def is_users(model: str) -> bool:
    """Return whether ``--model`` names a user's factory.

    >>> is_users("mine:net"), is_users("timm:resnet18"), is_users("mlp")
    (True, False, False)
    """
    return user_code.is_reference(model) and find_library(model) is None


def own_checkpoint(model: str) -> Path | None:
    """Return the checkpoint that comes with a network, as in a folder of ``hf``; None if there is none."""
    found = find_library(model)
    return None if found is None else found[0].checkpoint(found[1])


def package_of(name: str) -> str | None:
    """Return the package that a value of ``--model`` or ``--data`` needs; None if it is of no library."""
    found = find_library(name)
    return None if found is None else found[0].package


def build_of_library(model: str, args: Mapping[str, Any], facts: Mapping[str, int]) -> nn.Module | None:
    """Return a new network of a library; None if ``--model`` names no library.

    Raises:
        InputError: The library is not installed, has no such network, or refuses an argument.
    """
    found = find_library(model)
    if found is None:
        return None
    prefix = model.partition(":")[0]
    if (own := in_working_folder(prefix)) is not None:
        log.warning(
            "--model %s: %s: is the library, and %s is not read; a module of yours needs another name",
            shown(model), prefix, shown(own),
        )  # fmt: skip
    library, name = found
    return library.build(name, args, facts)
