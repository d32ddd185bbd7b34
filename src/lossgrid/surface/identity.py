"""The identity of a surface: all that decides its values; how two identities differ, as text."""

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
    """All that decides the value of a surface at a point; the points and splits are no part of it.

    Attributes:
        settings: The settings that decide values, as JSON types.
        made: The settings that made the directions, to explain a difference of their digests.
        is_line: Whether there is no beta axis.
        device_type: ``cpu`` or ``cuda``.
        batch_size: Samples per forward pass, if the outputs of a sample depend on its batch; else None.
        digests: Digests of network, directions and data; data count for splits that both have.
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
    """Return all differences between two identities, each as text; empty if they are equal.

    Args:
        theirs: The identity of a surface.
        ours: The identity it is compared with.
        words: Template of a difference between settings.
        holders: The files of our data by split, to name them if the data differ.
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
    """Return the settings of ours with another value in theirs, each as text by the template ``words``."""
    return [
        words.format(name=name.replace("_", "-"), theirs=_short(theirs.get(name)), ours=_short(value))
        for name, value in ours.items()
        if theirs.get(name) != value
    ]


def _settings(identity: Identity, *, made: bool) -> dict[str, Any]:
    """Return the settings to compare; those that made the directions only if digests differ, as the possible cause."""
    own = {"device": identity.device_type, "batch_size": identity.batch_size}
    return {**identity.settings, **(identity.made if made else {}), **own}


def _shape(identity: Identity) -> str:
    return "line" if identity.is_line else "plane"


def _short(value: Any) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
