"""Pictures of one size stacked into one array, within the memory that is left."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError
from lossgrid.machine.memory import shortage
from lossgrid.readers.pictures import Pixels


def stacked(
    count: int, read: Callable[[int], Pixels], name: Callable[[int], str], *, data: str, resized: bool
) -> npt.NDArray[np.float32]:
    """Return pictures ``(count, c, h, w)``, float32 in 0..255.

    Args:
        count: Number of pictures.
        read: Returns picture ``i``.
        name: Returns the name of picture ``i``, for errors.
        data: The form of ``--data``, for errors.
        resized: Whether the pictures were resized, for the advice in errors.

    Raises:
        InputError: A picture cannot be read, sizes differ, or memory does not suffice.
    """
    first = read(0)
    if lack := shortage(4 * count * first.size):
        raise InputError(
            f"--data {data}: {count} pictures of shape {first.shape} take {lack}; give --max-samples, or --data-arg "
            "resize or crop"
        )
    pictures = np.empty((count, *first.shape), np.float32)
    pictures[0] = first
    for i in range(1, count):
        picture = read(i)
        if picture.shape != first.shape:
            (h, w), (height, width) = first.shape[1:], picture.shape[1:]
            raise InputError(
                f"--data {data}: expected pictures of one size, got {h} x {w} in {name(0)} and {height} x {width} in "
                f"{name(i)}; give --data-arg {'crop=N' if resized else 'resize=H,W'}"
            )
        pictures[i] = picture
    return pictures
