"""The normalisation of pictures: mean and standard deviation of each channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError, shown

SMALLEST, LARGEST = 1e-37, 1e38  # of the numbers of users, so that float32 holds them

Channels = tuple[float, ...]
Pixels = npt.NDArray[np.float32]

# Mean and standard deviation of red, green, blue, for pixels in 0..1.
NORMALISATIONS: dict[str, tuple[Channels, Channels]] = {
    # of the paper's code (tomgoldstein/loss-landscape, cifar10/dataloader.py)
    "li": ((125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255)),
    # of ImageNet, used to train many published CIFAR networks (such as those of akamaster/pytorch_resnet_cifar10)
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


def normalised(pictures: Pixels, channels: tuple[Channels, Channels]) -> Pixels:
    """Return pictures ``(n, c, h, w)``, float32 in 0..255, scaled to 0..1 and normalised in place.

    Args:
        pictures: The pictures; they are overwritten.
        channels: Mean and standard deviation of each channel.
    """
    mean, deviation = (np.array(part, dtype=np.float32)[:, None, None] for part in channels)
    pictures /= 255
    pictures -= mean
    pictures /= deviation
    return pictures


def channels_of(given: Any, count: int) -> tuple[Channels, Channels]:
    """Return mean and standard deviation of each of ``count`` channels.

    Args:
        given: ``none``, ``imagenet`` or ``li``; or two lists of ``count`` numbers.
        count: Number of channels.

    Raises:
        InputError: ``given`` is something else, or of another number of channels.
    """
    if given == "none":
        return (0.0,) * count, (1.0,) * count
    parts: Any = NORMALISATIONS.get(given) if isinstance(given, str) else given
    is_pair = isinstance(parts, (list, tuple)) and len(parts) == 2
    if not is_pair or not all(_are_numbers(part, count) for part in parts) or not all(d > 0 for d in parts[1]):
        raise InputError(
            f"--data-arg normalize: expected none, imagenet or li (these have 3 channels), or [[means], [deviations]] "
            f"of {count} numbers each, deviations above 0, got {shown(repr(given))} for {count} channels"
        )
    return tuple(parts[0]), tuple(parts[1])


def _are_numbers(part: Any, count: int) -> bool:
    """Return whether ``part`` is ``count`` numbers that float32 holds."""
    return (
        isinstance(part, (list, tuple))
        and len(part) == count
        and all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in part)
        and all(abs(number) < LARGEST and (number == 0 or abs(number) > SMALLEST) for number in part)
    )
