"""Direction files: groups ``xdirection`` (delta) and ``ydirection`` (eta) of datasets named "0", "1", ...

This is the layout of the reference tool (tomgoldstein/loss-landscape), so that each reads the other's files. It goes by
number: there must be a dataset for every parameter, or for every entry of the state dict, so that those a direction
does not move are there as zeros. lossgrid adds two attributes (JSON) to each group: ``names``, the entries of the
network that the datasets belong to, and ``moved``, the names of those that move.
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
    """One direction as a file holds it.

    Attributes:
        arrays: The tensors in the order of the file, any shapes and dtypes; without those that the file says stay.
        names: The entries of the network they belong to; None in files of the reference tool.
    """

    arrays: Sequence[npt.NDArray[Any]]
    names: Sequence[str] | None


def read_directions(path: Path) -> list[StoredDirection]:
    """Read the one or two directions in ``path``: delta, then eta.

    Raises:
        InputError: There is no such file, or it is no direction file.
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
    """Return the different names that an attribute lists; None where there is no such attribute.

    Raises:
        DamagedError: It is something else.
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
        directions: Delta, then eta: name of the entry to its array.
        entries: All that the reference tool expects and their shapes, in its order; by default those that move.
        about: How they were made, kept as JSON in the attribute ``lossgrid``.
        overwrite: Replace an existing file.

    Raises:
        InputError: The file exists and is no direction file or ``overwrite`` is not set, or it cannot be written.
    """
    if path.exists():
        read_directions(path)  # also to be replaced it must be a direction file: nothing else is ever overwritten
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
            # Names of large networks exceed the 64 KB an ordinary attribute holds: variable length goes to the heap.
            group.attrs["names"] = json.dumps(list(shapes))
            group.attrs["moved"] = json.dumps(list(direction))
            for number, (name, shape) in enumerate(shapes.items()):
                group.create_dataset(str(number), data=np.asarray(direction.get(name, np.zeros(shape))))
