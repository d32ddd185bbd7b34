"""Surface files of the reference tool (tomgoldstein/loss-landscape): flat, without any attribute.

::

    /dir_file                        text: the direction file
    /xcoordinates, /ycoordinates     (n_x,), (n_y,) float64; no /ycoordinates for a line
    /train_loss, /train_acc, ...     losses, accuracies in percent, -1 where not computed

What their numbers mean, and in what order they are, is the matter of :mod:`lossgrid.exchange`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError, in_short
from lossgrid.store.directions import GROUPS
from lossgrid.store.schema import FORMAT

DIRECTIONS = "dir_file"
X, Y = "xcoordinates", "ycoordinates"


@dataclass(frozen=True)
class ReferenceSurface:
    """What a surface file of the reference tool holds.

    Attributes:
        x: Shape ``(n_x,)``, float64.
        y: Shape ``(n_y,)``, float64; None for a line.
        values: ``"train_loss"``, ``"train_acc"``, ... to arrays of float64, of any shape.
        directions: The direction file, as it is called there; empty where the file does not say.
    """

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64] | None
    values: Mapping[str, npt.NDArray[np.float64]]
    directions: str


def read_reference(path: Path) -> ReferenceSurface:
    """Read a surface file of the reference tool.

    Raises:
        InputError: There is no such file, or it is of another kind, or damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a surface file of loss-landscape")
    try:
        with h5py.File(path, "r", locking=False) as file:
            _refuse_other_kinds(file, path)
            numbers = {name: data for name, data in file.items() if _is_numbers(data)}
            arrays = {name: np.asarray(data[...], dtype=np.float64) for name, data in numbers.items()}
            text = file[DIRECTIONS][()] if DIRECTIONS in file else b""
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = in_short(error)
        raise InputError(f"{path} is not an HDF5 file or is damaged ({reason})") from None
    directions = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    return ReferenceSurface(arrays.pop(X), arrays.pop(Y, None), arrays, directions)


def _refuse_other_kinds(file: h5py.File, path: Path) -> None:
    if file.attrs.get("format") == FORMAT:
        raise InputError(f"{path} is a surface of lossgrid already; there is nothing to import")
    if GROUPS[0] in file:
        raise InputError(f"{path} is a direction file; lossgrid run --directions reads it as it is")
    if X not in file:
        raise InputError(f"{path} holds no {X}; it is not a surface file of loss-landscape")


def _is_numbers(data: Any) -> bool:
    return isinstance(data, h5py.Dataset) and data.ndim > 0 and data.dtype.kind in "fiu"


def write_reference(path: Path, surface: ReferenceSurface) -> None:
    """Write a new file that the reference tool reads.

    Raises:
        OSError: It cannot be written, or there is one.
    """
    with h5py.File(path, "x", locking=False) as file:
        file[DIRECTIONS] = surface.directions
        file[X] = surface.x
        if surface.y is not None:
            file[Y] = surface.y
        for name, values in surface.values.items():
            file[name] = values
