"""Direction files: groups ``xdirection`` (delta) and ``ydirection`` (eta) of datasets named "0", "1", ...

This is the layout of the reference tool (tomgoldstein/loss-landscape), so each tool reads the other's files. That tool
matches datasets by number. It expects one for every parameter, or for every entry of the state dict: entries that a
direction does not move are stored as zeros. lossgrid adds two attributes (JSON) to each group: ``names``, the entry of
the network for each dataset, and ``moved``, the names of the entries that move.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.machine.memory import memory_left
from lossgrid.store.contents import Contents, DamagedError, contents, refuse_no_file
from lossgrid.store.room import refuse_full_disk
from lossgrid.store.whole import appearing
from lossgrid.wording import of_bytes

GROUPS = ("xdirection", "ydirection")


@dataclass(frozen=True)
class StoredDirection:
    """A direction as stored in a file.

    Attributes:
        arrays: The tensors in the order of the file, any shapes and dtypes; without those that do not move.
        names: The entry of the network for each tensor; None in files of the reference tool.
    """

    arrays: Sequence[npt.NDArray[Any]]
    names: Sequence[str] | None


def read_directions(path: Path) -> list[StoredDirection]:
    """Return the one or two directions in ``path``: delta, then eta.

    Raises:
        InputError: The file is missing, damaged, or no direction file.
    """
    try:
        refuse_no_file(path, "'random' or a direction file")
    except InputError as error:
        raise InputError(f"--directions: {error}") from None
    try:
        held = contents(path)
        groups = [group for group in GROUPS if group in held.attributes and group not in held.arrays]
        if groups[:1] != [GROUPS[0]]:
            raise InputError(f"--directions: {path} holds no group {GROUPS[0]!r}; it is not a direction file")
        return [_direction(held, group) for group in groups]
    except DamagedError as damage:
        raise InputError(f"--directions: {path} is not a direction file or is damaged ({damage})") from None


def _direction(held: Contents, group: str) -> StoredDirection:
    members = [name.removeprefix(f"{group}/") for name in held.arrays if name.startswith(f"{group}/")]
    if absent := {str(i) for i in range(len(members))}.difference(members):
        raise DamagedError(f"/{group} has {len(members)} tensors, and none is named {min(absent)}")
    arrays = [held.arrays[f"{group}/{i}"] for i in range(len(members))]
    names = _names(held, group, "names")
    if names is not None and len(names) != len(arrays):
        raise DamagedError(f"/{group} has {len(arrays)} tensors and {len(names)} names")
    moved = _names(held, group, "moved")
    if names is None or moved is None:
        return StoredDirection(arrays, names)
    named = dict(zip(names, arrays, strict=True))
    if absent := set(moved).difference(named):
        raise DamagedError(f"/{group} says that {min(absent)!r} moves, and has no tensor of that name")
    return StoredDirection([named[name] for name in moved], moved)


def _names(held: Contents, group: str, attribute: str) -> list[str] | None:
    """Return the names in an attribute, all different; None if there is no such attribute.

    Raises:
        DamagedError: The attribute is no list of different names.
    """
    text = held.attributes[group].get(attribute)
    if text is None:
        return None
    try:
        names = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise DamagedError(f"/{group}: the attribute {attribute} is no list of different names in JSON")
    return names


def write_directions(
    path: Path,
    directions: Sequence[Mapping[str, npt.NDArray[Any]]],
    *,
    entries: Mapping[str, tuple[int, ...]] | None = None,
    about: Mapping[str, Any],
    overwrite: bool,
) -> None:
    """Write one or two directions; the file appears under its name only when it is whole.

    Args:
        path: The file.
        directions: Delta, then eta: name of the entry -> array.
        entries: All entries that the reference tool expects, in its order: name -> shape; by default those that move.
        about: How the directions were made; stored as JSON in the attribute ``lossgrid``.
        overwrite: Replace an existing file.

    Raises:
        InputError: The file cannot be written, or exists and is no direction file, or ``overwrite`` is not set.
    """
    if path.exists():
        read_directions(path)  # only a direction file may be replaced
        if not overwrite:
            raise InputError(f"{path} exists; choose another name for the directions or give --overwrite")
    made = [
        (direction, entries or {name: array.shape for name, array in direction.items()}) for direction in directions
    ]
    needed = sum(
        math.prod(shape) * direction[name].dtype.itemsize if name in direction else math.prod(shape) * 8
        for direction, shapes in made
        for name, shape in shapes.items()
    )
    refuse_full_disk(path, needed, "choose another --out")
    if needed > memory_left():
        raise InputError(
            f"{path} needs {of_bytes(needed)} of memory to be made, and {of_bytes(memory_left())} are left"
        )
    with appearing(path, overwrite=overwrite) as file:
        file.attrs["lossgrid"] = json.dumps(about)
        for group_name, (direction, shapes) in zip(GROUPS, made, strict=False):
            group = file.create_group(group_name)
            # The names of a large network exceed 64 KB, the limit of an ordinary attribute. A string of variable length
            # is stored in the heap.
            group.attrs["names"] = json.dumps(list(shapes))
            group.attrs["moved"] = json.dumps(list(direction))
            for number, (name, shape) in enumerate(shapes.items()):
                group.create_dataset(str(number), data=np.asarray(direction.get(name, np.zeros(shape))))
