"""Surface files of the reference tool (tomgoldstein/loss-landscape): flat, without attributes.

::

    /dir_file                        text: the direction file
    /xcoordinates, /ycoordinates     (n_x,), (n_y,) float64; no /ycoordinates for a line
    /train_loss, /train_acc, ...     losses, accuracies in percent, -1 where not computed

:mod:`lossgrid.formats.loss_landscape` translates the meaning and the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.store.contents import Contents, DamagedError, contents, refuse_no_file
from lossgrid.store.directions import GROUPS
from lossgrid.store.schema import FORMAT
from lossgrid.store.whole import image

DIRECTIONS = "dir_file"
X, Y = "xcoordinates", "ycoordinates"


@dataclass(frozen=True)
class ReferenceSurface:
    """The contents of a surface file of the reference tool.

    Attributes:
        x: Shape ``(n_x,)``, float64.
        y: Shape ``(n_y,)``, float64; None for a line.
        values: ``"train_loss"``, ``"train_acc"``, ... -> float64 arrays of any shape.
        directions: The name of the direction file; empty if the surface file has none.
    """

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64] | None
    values: Mapping[str, npt.NDArray[np.float64]]
    directions: str


def read_reference(path: Path) -> ReferenceSurface:
    """Return the contents of a surface file of the reference tool.

    Raises:
        InputError: The file is missing, damaged, or of another kind.
    """
    refuse_no_file(path, "a surface file of loss-landscape")
    try:
        held = contents(path)
    except DamagedError as damage:
        raise InputError(f"{path} is not an HDF5 file or is damaged ({damage})") from None
    _refuse_other_kinds(held, path)
    arrays = {name: np.asarray(array, dtype=np.float64) for name, array in held.arrays.items() if _is_real(array)}
    for name in (X, Y):
        if name in held.attributes and name not in arrays:
            raise InputError(f"{path}: {name} is no array of real numbers; expected the coordinates of a grid")
    return ReferenceSurface(arrays.pop(X), arrays.pop(Y, None), arrays, held.texts.get(DIRECTIONS, ""))


def _refuse_other_kinds(held: Contents, path: Path) -> None:
    if held.attributes[""].get("format") == FORMAT:
        raise InputError(f"{path} is a surface of lossgrid already; there is nothing to import")
    if GROUPS[0] in held.attributes:
        raise InputError(f"{path} is a direction file; lossgrid run --directions reads it as it is")
    if X not in held.attributes:
        raise InputError(f"{path} holds no {X}; it is not a surface file of loss-landscape")


def _is_real(array: npt.NDArray[np.generic]) -> bool:
    return array.ndim > 0 and array.dtype.kind in "fiu"


def write_reference(path: Path, surface: ReferenceSurface) -> None:
    """Write a new file that the reference tool can read.

    Raises:
        OSError: The file exists, or cannot be written.
    """
    with image() as (file, content):
        file[DIRECTIONS] = surface.directions
        file[X] = surface.x
        if surface.y is not None:
            file[Y] = surface.y
        for name, values in surface.values.items():
            file[name] = values
        file.close()
        with path.open("xb") as stream:
            stream.write(content.getbuffer())
