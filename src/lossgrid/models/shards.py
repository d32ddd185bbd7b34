"""Checkpoints of several files (shards): a JSON index names the file of each entry."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lossgrid.errors import InputError, shown
from lossgrid.files import fault_of_name, read_file
from lossgrid.models.names import listed

INDEX = "model.safetensors.index.json"
ENDING = "*.index.json"
LARGEST = 2**26  # bytes of an index: more than 500,000 entries
EXPECTED = 'expected {"weight_map": {"entry": "file beside the index"}}'


def index_in(folder: Path) -> Path:
    """Return the index of shards in a folder.

    Raises:
        InputError: There is none, or several of which none is named ``model.safetensors.index.json``.
    """
    try:
        found = sorted(path.name for path in folder.glob(ENDING))
    except OSError as error:
        raise InputError(f"checkpoint {shown(folder)} cannot be read: {error.strerror}; expected a file") from None
    if INDEX in found or len(found) == 1:
        return folder / (INDEX if INDEX in found else found[0])
    if found:
        raise InputError(
            f"checkpoint {shown(folder)} holds several indices of shards; expected the path of one: "
            f"{listed(map(shown, found))}"
        )
    raise InputError(
        f"checkpoint {shown(folder)} cannot be read: it is a directory without {INDEX}; expected a state dict saved "
        "with torch.save, safetensors, or an index of shards"
    )


def read_shards(index: Path, read: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """Return the entries that an index names, in its order, from the files beside it.

    Args:
        index: The JSON file.
        read: Returns the entries of one file, or raises InputError.

    Raises:
        InputError: The index is damaged, a file is missing or outside the folder, or the files hold other entries.
    """
    where = _read_index(index)
    files: dict[str, list[str]] = {}
    for name, file in where.items():
        files.setdefault(file, []).append(name)
    absent = [file for file in files if not os.path.exists(index.parent / file)]  # noqa: PTH110 - Path.exists may raise an error
    if absent:
        raise InputError(
            f"checkpoint {shown(index)}: {len(absent)} of {len(files)} shards are missing beside it: "
            f"{listed(map(shown, absent))}; download them into its folder"
        )
    found: dict[str, Any] = {}
    for file, names in files.items():
        entries = read(index.parent / file)
        for fault, wrong in (
            ("lacks", [name for name in names if name not in entries]),
            ("also holds", [name for name in entries if where.get(name) != file]),
        ):
            if wrong:
                raise InputError(
                    f"checkpoint {shown(index)} does not belong to its shard {shown(file)}, which {fault} "
                    f"{listed(map(shown, wrong))}; download both again"
                )
        found.update(entries)
    return {name: found[name] for name in where}


def _read_index(index: Path) -> dict[str, str]:
    """Return the name of the file of each entry."""
    content = read_file(index, most=LARGEST + 1, what="checkpoint", expected=EXPECTED)
    try:
        if len(content) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
        whole = json.loads(content, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"checkpoint {shown(index)} is text, and no index of shards ({shown(error)}); expected a state dict saved "
            "with torch.save, or safetensors"
        ) from None
    where = whole.get("weight_map") if isinstance(whole, dict) else None
    if not isinstance(where, dict) or not where or not all(isinstance(file, str) for file in where.values()):
        raise InputError(f"checkpoint {shown(index)} is text, and no index of shards; {EXPECTED}")
    for file in where.values():
        if file in ("", ".", "..") or set(file) & set("/\\") or fault_of_name(Path(file)):
            raise InputError(
                f"checkpoint {shown(index)} is no index of shards that can be trusted: it names {shown(repr(file))}; "
                "expected names of files beside it, without a folder"
            )
    return where


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it names an entry twice")
    return found
