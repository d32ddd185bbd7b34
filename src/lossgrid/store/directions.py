"""Direction files: groups ``xdirection`` (delta) and ``ydirection`` (eta) of datasets named "0", "1", ...

This is the layout of the reference tool (tomgoldstein/loss-landscape), so that each reads the other's files. It goes by
number: there must be a dataset for every parameter, or for every entry of the state dict, so that those a direction
does not move are there as zeros. lossgrid adds two attributes (JSON) to each group: ``names``, the entries of the
network that the datasets belong to, and ``moved``, the names of those that move.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError, in_short

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
    if not path.is_file():
        raise InputError(f"--directions: {path}: no such file; expected 'random' or a direction file")
    try:
        with h5py.File(path, "r", locking=False) as file:
            if GROUPS[0] not in file:
                raise InputError(f"--directions: {path} holds no group {GROUPS[0]!r}; it is not a direction file")
            return [_read_group(file[group]) for group in GROUPS if group in file]
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = in_short(error)
        raise InputError(f"--directions: {path} is not a direction file or is damaged ({reason})") from None


def _read_group(group: h5py.Group) -> StoredDirection:
    arrays = [group[str(i)][...] for i in range(len(group))]
    text = group.attrs.get("names")
    names = None if text is None else [str(name) for name in json.loads(text)]
    if names is not None and len(names) != len(arrays):
        raise ValueError(f"{group.name} has {len(arrays)} tensors and {len(names)} names")
    if names is None or "moved" not in group.attrs:
        return StoredDirection(arrays, names)
    moved = [str(name) for name in json.loads(group.attrs["moved"])]
    named = dict(zip(names, arrays, strict=True))
    return StoredDirection([named[name] for name in moved], moved)


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
        InputError: The file exists and ``overwrite`` is not set, or it cannot be written.
    """
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another name for the directions or give --overwrite")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with h5py.File(partial, "x", locking=False) as file:
            file.attrs["lossgrid"] = json.dumps(about)
            for group_name, direction in zip(GROUPS, directions, strict=False):
                group = file.create_group(group_name)
                # Names of large networks exceed the 64 KB an ordinary attribute holds: variable length goes to the
                # heap.
                shapes = entries or {name: array.shape for name, array in direction.items()}
                group.attrs["names"] = json.dumps(list(shapes))
                group.attrs["moved"] = json.dumps(list(direction))
                for number, (name, shape) in enumerate(shapes.items()):
                    group.create_dataset(str(number), data=np.asarray(direction.get(name, np.zeros(shape))))
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot write the directions to {path}: {in_short(error)}") from None
    finally:
        with suppress(OSError):
            partial.unlink()
