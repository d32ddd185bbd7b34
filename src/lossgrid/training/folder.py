"""The folder of a training: checkpoints of its epochs, a table of their losses, and the state to resume.

    training/
      epoch_0000.pt, epoch_0010.pt, ...   checkpoints, which ``lossgrid run --checkpoint`` reads: ``state_dict``,
                                          ``epoch``, ``settings``, and the row of the table
      epochs.csv                          a row for each epoch; row 0 is the initial network
      last.pt                             the present state of the training; also a checkpoint

Each file is written under a temporary name and renamed when it is complete: a crash leaves the previous file.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

import torch

from lossgrid.errors import InputError, LossgridError, in_short, shown
from lossgrid.files import unfinished
from lossgrid.models.archive import read_archive

LAST, TABLE = "last.pt", "epochs.csv"
FORMAT = "lossgrid training 1"
LARGEST, DEEPEST = 2**63, 32  # limits of integers, and of the depth of nested containers

Row = dict[str, float]


@dataclass(frozen=True)
class State:
    """A training between two updates.

    Attributes:
        settings: The settings that determine the result.
        origin: Other facts that do: digests of the data, type of device, number of threads.
        history: A row for each finished epoch, from epoch 0; its length is the number of the present epoch.
        batch: Updates done in the present epoch.
        seconds: Time spent in the present epoch, in s.
        state_dict: The network, on the CPU.
        optimizer: State dict of the optimizer.
        schedule: State dict of the schedule.
    """

    settings: Mapping[str, Any]
    origin: Mapping[str, Any]
    history: Sequence[Row]
    batch: int
    seconds: float
    state_dict: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Any]
    schedule: Mapping[str, Any]


def check(folder: Path) -> bool:
    """Return whether ``folder`` holds a training, without reading or changing files.

    Raises:
        InputError: The path is no folder, its parent does not exist, or it holds other files.
    """
    if folder.name in ("", ".."):
        raise InputError(f"--out: expected a folder of its own such as training, got {str(folder)!r}")
    try:
        if not folder.parent.is_dir():
            raise InputError(f"--out: folder {folder.parent} does not exist; make it first")
        if not folder.exists():
            return False
        if not folder.is_dir():
            raise InputError(f"--out: {folder} is a file; give a folder such as training")
        if (folder / LAST).exists():
            return True
        other = [path.name for path in folder.iterdir() if not path.name.endswith(".partial")]
    except OSError as error:
        raise InputError(f"--out: {folder} cannot be looked at: {error.strerror}; choose another folder") from None
    if other:
        raise InputError(f"--out: {folder} holds {shown(other[0])} and no training; choose another folder")
    return False


def read(folder: Path) -> State:
    """Return the state of the training in ``folder``; no code in it is run (``weights_only=True``).

    Raises:
        InputError: The file is damaged, or is not of a training.
    """
    path = folder / LAST
    remedy = "choose another folder"
    content = read_archive(path, what="--out:", expected=remedy, else_no="not of a training")
    names = [field.name for field in fields(State)]
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.keys() != {"format", *names}:
        raise InputError(f"--out: {shown(path)} is damaged or not of a training; {remedy}")
    state = State(**{name: content[name] for name in names})
    if not _is_sound(state):
        raise InputError(f"--out: {shown(path)} is damaged or not of a training, by the types of its entries; {remedy}")
    return state


def _is_sound(state: State) -> bool:
    """Return whether the entries of a file have the types of :class:`State`."""
    return (
        all(isinstance(part, dict) and _is_plain(part) for part in (state.settings, state.origin))
        and type(state.origin.get("threads")) is int
        and isinstance(state.history, list)
        and all(isinstance(row, dict) and "epoch" in row and _is_row(row) for row in state.history)
        and type(state.batch) is int
        and state.batch >= 0
        and _is_number(state.seconds)
        and 0 <= state.seconds < math.inf
        and isinstance(state.state_dict, dict)
        and all(
            isinstance(part, dict) and all(isinstance(k, str) for k in part)
            for part in (state.optimizer, state.schedule)
        )
    )


def _is_row(row: Mapping[object, object]) -> bool:
    return all(isinstance(name, str) and _is_number(value) for name, value in row.items())


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) <= LARGEST)


def _is_plain(value: object, depth: int = DEEPEST) -> bool:
    """Return whether a value has the types of JSON, within ``depth`` levels and ``LARGEST``."""
    if isinstance(value, dict):
        return depth > 0 and all(isinstance(k, str) and _is_plain(v, depth - 1) for k, v in value.items())
    if isinstance(value, list):
        return depth > 0 and all(_is_plain(v, depth - 1) for v in value)
    return value is None or isinstance(value, (str, bool)) or _is_number(value)


def write(folder: Path, state: State) -> None:
    """Write the state of a training.

    Raises:
        LossgridError: Writing failed.
    """
    content = {"format": FORMAT} | {field.name: getattr(state, field.name) for field in fields(state)}
    _replace(folder / LAST, lambda stream: torch.save(content, stream))


def write_epoch(folder: Path, state: State, *, checkpoint: bool) -> None:
    """Write a finished epoch: its checkpoint, if asked, its row in the table, then the state of the training.

    Raises:
        LossgridError: Writing failed.
    """
    row = state.history[-1]
    if checkpoint:
        content = {**row, "settings": state.settings, "state_dict": state.state_dict}
        _replace(folder / f"epoch_{int(row['epoch']):04d}.pt", lambda stream: torch.save(content, stream))
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(row), lineterminator="\n")
    writer.writeheader()
    writer.writerows(state.history)
    _replace(folder / TABLE, lambda stream: stream.write(table.getvalue().encode()))
    write(folder, state)


def _replace(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Replace ``path`` by a new file in one step, once it is complete and on the disk."""
    try:
        path.parent.mkdir(exist_ok=True)
        with unfinished(path, overwrite=True) as partial, partial.open("xb") as stream:
            fill(stream)
    except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError on a full disk
        reason = in_short(error)
        raise LossgridError(f"cannot write {path}: {reason}; what was kept before is still there") from None
