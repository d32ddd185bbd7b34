"""The choice of the source of directions; one precedence for the command line and Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lossgrid import models, user_code
from lossgrid.directions.random import Random
from lossgrid.directions.source import Around, DirectionSource
from lossgrid.directions.stored import Given, OfFile
from lossgrid.directions.towards import Network, Towards
from lossgrid.directions.users import ROLE, OfUser
from lossgrid.settings import ModelConfig


def random(config: ModelConfig) -> Random:
    """Return the source of the random directions of the settings."""
    return Random(config.seed, config.norm, config.perturb_bias_and_norm, config.direction_version)


# The values Python accepts: a name, a file, tensors by entry for each axis, or a function that returns these.
Directions = str | Path | Sequence[Mapping[str, torch.Tensor]] | Callable[[Around, int], Any]

SOURCES: dict[str, Callable[[ModelConfig], DirectionSource]] = {"random": random}


def source_of(
    config: ModelConfig,
    *,
    directions: Directions | None = None,
    to: Sequence[tuple[str, Network]] | None = None,
) -> DirectionSource:
    """Return the source of the directions that the settings ask for.

    Networks (``to``) come before ``directions``; random directions fill the other axes. A name of an existing file
    means that file, even if it looks like a function.

    Args:
        config: The settings.
        directions: Directions given from Python, in place of ``config.directions``.
        to: Networks given from Python, each after its name, in place of ``config.to``.

    Raises:
        InputError: There is no such source.
    """
    networks = [(str(path), path) for path in config.to] if to is None else to
    if networks:
        return Towards(networks, random(config), models.Layout(**config.layout))
    asked = config.directions if directions is None else directions
    if isinstance(asked, (str, Path)):
        return _named(str(asked), config)
    if callable(asked):
        return OfUser(asked, user_code.name_of(asked))
    return Given(asked)


def _named(name: str, config: ModelConfig) -> DirectionSource:
    if name in SOURCES:
        return SOURCES[name](config)
    if user_code.is_reference(name) and not Path(name).exists():
        return OfUser(user_code.load(name, role=ROLE), name)
    return OfFile(Path(name))
