"""The identity of a surface: what decides its values, so that two can be parts of one; and in words how two differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lossgrid.surface.origin import Digests

CONTENTS = {"theta": "the network (model or checkpoint)", "delta": "direction delta", "eta": "direction eta"}
TWO_SURFACES = "{name} is {theirs}, not {ours}"
THERE_AND_NOW = "{name} is {theirs} there and {ours} now"  # of a file and the run that would go on with it
LONGEST = 60  # characters of a value


@dataclass(frozen=True)
class Identity:
    """What decides the values of a surface at a point; where its points are, and of which splits, is no part of it.

    Attributes:
        settings: The settings that decide values, as JSON types.
        made: Those that made the directions, which their digests decide by: for the words about a difference.
        is_line: Whether there is no beta axis.
        device_type: ``cpu`` or ``cuda``.
        batch_size: Samples per forward pass, where the outputs of a sample depend on its batch; else None.
        digests: Of network, directions and data; those of a split count where both have it.
    """

    settings: Mapping[str, Any]
    made: Mapping[str, Any] = field(compare=False)
    is_line: bool
    device_type: str | None
    batch_size: int | str | None
    digests: Digests


def differences(
    theirs: Identity, ours: Identity, *, words: str = TWO_SURFACES, holders: Mapping[str, object] | None = None
) -> list[str]:
    """Return in words all that makes ``theirs`` another function than ``ours``; empty where they are one.

    Args:
        theirs: The identity of a surface.
        ours: What it is held against.
        words: How a difference of settings is told.
        holders: The files that our data are of, by split, to be named where the data differ.
    """
    found = []
    contents = [part for part in CONTENTS if getattr(theirs.digests, part) != getattr(ours.digests, part)]
    if theirs.is_line != ours.is_line:
        found = [f"it is a {_shape(theirs)}, not a {_shape(ours)}"]
        contents = [part for part in contents if part != "eta"]
    found += unlike(_settings(theirs, made=bool(contents)), _settings(ours, made=bool(contents)), words)
    found += [f"{CONTENTS[part]} differs" for part in contents]
    ours_of = ours.digests.data or {}
    for split, digest in (theirs.digests.data or {}).items():
        if split in ours_of and ours_of[split] != digest:
            holder = "" if holders is None else f" from those in {holders[split]}"
            found.append(f"the data of split {split} differ{holder}")
    return found


def unlike(theirs: Mapping[str, Any], ours: Mapping[str, Any], words: str) -> list[str]:
    """Return in words which of our settings have another value among theirs."""
    return [
        words.format(name=name.replace("_", "-"), theirs=_short(theirs.get(name)), ours=_short(value))
        for name, value in ours.items()
        if theirs.get(name) != value
    ]


def _settings(identity: Identity, *, made: bool) -> dict[str, Any]:
    """Return what is compared by value; how directions were made only where contents differ, as it may be the cause."""
    own = {"device": identity.device_type, "batch_size": identity.batch_size}
    return {**identity.settings, **(identity.made if made else {}), **own}


def _shape(identity: Identity) -> str:
    return "line" if identity.is_line else "plane"


def _short(value: Any) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
