"""A NumPy archive (``.npz``) with arrays ``<split>_inputs`` and ``<split>_targets``.

The archive is hostile input. Arrays are read as numbers only, and never by ``pickle``. Each size is checked before
memory is allocated.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError, in_short, shown
from lossgrid.files import open_file
from lossgrid.machine.memory import shortage
from lossgrid.readers.location import listed, path_of
from lossgrid.readers.reader import Options

FORM = "npz:FILE"
PARTS = ("inputs", "targets")
ENDING = ".npy"
INPUTS = re.compile(r"(.+?)_inputs(?:\..*)?", re.DOTALL)
NUMBERS = "biufc"  # kinds of dtypes: booleans, integers, real and complex numbers
CHUNK = 2**20  # bytes read at a time, so that a member is in memory once
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

Array = npt.NDArray[Any]
Tree = Array | dict[str, Array]


@dataclass(frozen=True)
class Npz:
    """The data set with the name ``npz``."""

    name: str = "npz"
    location: str = "FILE"
    options: Options = field(default_factory=dict)
    splits: tuple[str, ...] = ()

    def read(self, split: str, *, location: str, max_samples: int | None = None) -> tuple[Tree, Tree]:
        """Return inputs and targets of the whole split: one array each, or a dict of arrays by name.

        Raises:
            InputError: The file is no archive of arrays of numbers, the split is missing, or memory does not suffice.
        """
        del max_samples  # all targets decide how many classes there are
        path = path_of(location, data=FORM)
        with open_file(path, what=f"--data {FORM}:", expected="expected a NumPy archive (.npz)") as stream:
            return _read(stream, split, path)

    def classes(self, location: str) -> None:
        """Return None: the largest class among the targets decides."""


def _read(stream: IO[bytes], split: str, path: Path) -> tuple[Tree, Tree]:
    archive = _archive(stream, path)
    members = {info.filename.removesuffix(ENDING): info for info in archive.infolist()}
    inputs, targets = (_chosen(members, split, part, path) for part in PARTS)
    needed = sum(info.file_size for info in (*inputs.values(), *targets.values()))
    if lack := shortage(needed):
        raise _error(path, f"split {split!r} takes {lack}")
    return _tree(archive, inputs, path), _tree(archive, targets, path)


def _archive(stream: IO[bytes], path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except Exception as error:  # a forged directory of an archive can raise anything
        raise _error(
            path,
            f"expected a NumPy archive, got a damaged file or another one ({in_short(error)}); write it by np.savez",
        ) from None


def _chosen(members: Mapping[str, zipfile.ZipInfo], split: str, part: str, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the members of a part of a split by name; the name is empty for a single array.

    Raises:
        InputError: There is none, or a single array and named ones.
    """
    name = f"{split}_{part}"
    chosen = {key[len(name) + 1 :]: info for key, info in members.items() if key == name or key.startswith(f"{name}.")}
    if not chosen:
        splits = _splits(members)
        if split in splits:
            raise _error(path, f"expected an array {shown(name)}, got {listed(members)}")
        has = f"the splits {listed(splits)}" if splits else f"no split, but {listed(members)}"
        raise _error(path, f"expected arrays {shown(split)}_inputs and {shown(split)}_targets; it holds {has}")
    if "" in chosen and len(chosen) > 1:
        raise _error(path, f"expected {shown(name)}, or {shown(name)}.NAME for each of several, got both")
    return chosen


def _splits(names: Iterable[str]) -> list[str]:
    """Return the splits of the arrays with these names.

    >>> _splits(["train_inputs", "test_inputs.ids", "test_inputs.mask", "weights"])
    ['test', 'train']
    """
    return sorted({found[1] for found in map(INPUTS.fullmatch, names) if found})


def _tree(archive: zipfile.ZipFile, infos: Mapping[str, zipfile.ZipInfo], path: Path) -> Tree:
    arrays = {name: _array(archive, info, path) for name, info in infos.items()}
    return arrays.get("", arrays)


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Array:
    """Return the array of a member.

    Raises:
        InputError: The member is damaged, or an array of other things than numbers.
    """
    try:
        with archive.open(info) as member:
            shape, by_column, dtype = HEADERS[np.lib.format.read_magic(member)](member)
            if dtype.kind in NUMBERS:
                content = _content(member, info.file_size - member.tell(), dtype.itemsize * math.prod(shape))
                return np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")
    except Exception as error:  # a forged member can raise anything
        raise _error(path, f"its array {shown(info.filename)} is damaged ({_why(error)})") from None
    raise _error(path, f"its array {shown(info.filename)} has dtype {shown(dtype)}; expected numbers")


def _content(member: IO[bytes], size: int, expected: int) -> bytearray:
    """Return the rest of a member; ZIP's checksum is compared at its end.

    Raises:
        ValueError: The member has not as many bytes as its header says.
    """
    if size != expected:
        raise ValueError(f"its header says {expected} bytes, the archive has {size}")
    content = bytearray(size)
    view, at = memoryview(content), 0
    while found := member.read(min(CHUNK, size - at) or 1):
        view[at : at + len(found)] = found
        at += len(found)
    if at < size:
        raise ValueError("it is truncated")
    return content


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {shown(in_short(error))}"


def _error(path: Path, fault: str) -> InputError:
    return InputError(f"--data {FORM}: {shown(path)}: {fault}")
