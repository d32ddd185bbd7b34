"""The folder of a training: checkpoints of its epochs, a table of what it came to, and all that is needed to go on.

    training/
      epoch_0000.pt, epoch_0010.pt, ...   checkpoints, which ``lossgrid run --checkpoint`` reads: ``state_dict``,
                                          ``epoch``, ``settings``, and the row of the table
      epochs.csv                          a row for each epoch, 0 being the network before it has learned anything
      last.pt                             the training where it stands; a checkpoint too

Each file is written under another name and gets its own when it is whole, so that a crash leaves the one before.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

import torch

from lossgrid.errors import InputError, LossgridError, in_short

LAST, TABLE = "last.pt", "epochs.csv"
FORMAT = "lossgrid training 1"
PARTIAL = ".partial"

Row = dict[str, float]


@dataclass(frozen=True)
class State:
    """A training between two updates.

    Attributes:
        settings: The settings that decide what is learned.
        origin: What else does: digests of the data, kind of device, number of threads.
        history: A row for each epoch done, from epoch 0; so its length is the epoch under way.
        batch: Updates done in this epoch.
        seconds: What this epoch has taken so far.
        state_dict: The network, on the CPU.
        optimizer: What the optimizer remembers.
        schedule: Where the learning rate stands.
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
    """Tell whether ``folder`` holds a training, cheaply and touching nothing.

    Raises:
        InputError: It is no place for one: no folder, without one around it, or with other files in it.
    """
    if folder.name in ("", ".."):
        raise InputError(f"--out: expected a folder of its own such as training, got {str(folder)!r}")
    if not folder.parent.is_dir():
        raise InputError(f"--out: folder {folder.parent} does not exist; make it first")
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise InputError(f"--out: {folder} is a file; give a folder such as training")
    if (folder / LAST).exists():
        return True
    other = [path.name for path in folder.iterdir() if not path.name.endswith(PARTIAL)]
    if other:
        raise InputError(f"--out: {folder} holds {other[0]} and no training; choose another folder")
    return False


def read(folder: Path) -> State:
    """Read where the training in ``folder`` stands; as data, never as code (``weights_only=True``).

    Raises:
        InputError: The file is damaged, or not one of a training.
    """
    path = folder / LAST
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("format") != FORMAT:
            raise ValueError
        return State(**content)
    except Exception as error:  # a damaged file can raise anything
        raise InputError(
            f"--out: {path} is damaged or not of a training ({type(error).__name__}); choose another folder"
        ) from None


def write(folder: Path, state: State) -> None:
    """Keep where a training stands.

    Raises:
        LossgridError: The file system refuses.
    """
    content = {"format": FORMAT} | {field.name: getattr(state, field.name) for field in fields(state)}
    _replace(folder / LAST, lambda stream: torch.save(content, stream))


def write_epoch(folder: Path, state: State, *, checkpoint: bool) -> None:
    """Keep an epoch that has just ended: its row in the table, its checkpoint if asked, then where the training stands.

    Raises:
        LossgridError: The file system refuses.
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
    """Put a new file in the place of ``path``, in one step, once it is whole and on the disk."""
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        path.parent.mkdir(exist_ok=True)
        with partial.open("wb") as stream:
            fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch.save makes a RuntimeError of a full disk
        with suppress(OSError):
            partial.unlink()
        reason = in_short(error)
        raise LossgridError(f"cannot write {path}: {reason}; what was kept before is still there") from None
