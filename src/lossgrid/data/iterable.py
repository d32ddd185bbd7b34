"""Samples of an iterable, which can be read once and in its own order: an ``IterableDataset``, a generator."""

from __future__ import annotations

import logging
from typing import Any

from lossgrid import user_code
from lossgrid.errors import InputError
from lossgrid.readers.spread import spread

log = logging.getLogger(__name__)

END = object()


def read_once(given: Any, source: str, max_samples: int | None) -> dict[int, Any]:
    """Return the samples of an iterable by their number, read to its end or to the last one that is kept.

    With a length, ``max_samples`` are spread over all; without one they are the first.

    Raises:
        InputError: There is neither a length nor ``max_samples``; the length is wrong; there are no samples; or the
            iterable raises.
    """
    kind = type(given).__name__
    length = None
    if hasattr(given, "__len__"):
        length = user_code.call(len, given, name="__len__", role=f"{source}: the {kind}'s")
    elif max_samples is None:
        raise InputError(f"{source}: a {kind} has no length; give --max-samples N, or a list of its samples")
    chosen = (
        range(max_samples or 0) if length is None else spread(length, length if max_samples is None else max_samples)
    )
    wanted, last = set(chosen), chosen[-1] if len(chosen) else -1
    whole = length is not None and len(chosen) == length  # read to its end, to compare its length
    iterator = user_code.call(iter, given, name=kind, role=f"{source}: reading")
    read: dict[int, Any] = {}
    number = 0
    while number <= last or whole:
        sample = user_code.call(next, iterator, END, name=f"sample {number}", role=f"{source}: reading")
        if sample is END:
            break
        if number > last:
            raise InputError(
                f"{source}: the length of the {kind} is {length}, but it gives more samples; correct __len__"
            )
        if number in wanted:
            read[number] = sample
        number += 1
    if number == 0:
        raise InputError(f"{source}: the {kind} gives no samples; one that can be read only once must be made anew")
    if length is not None and number <= last:
        raise InputError(
            f"{source}: the length of the {kind} is {length}, but it gives {number} samples; correct __len__"
        )
    if length is None:
        log.info("%s: the first %d samples of a %s without a length", source, number, kind)
    return read
