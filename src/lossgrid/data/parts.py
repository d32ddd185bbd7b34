"""The parts of what users give, a sample or a whole split: its inputs and its targets; and the splits of a dict."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Number
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from lossgrid.data.batch import NOTHING, Batch
from lossgrid.data.numbers import as_tree
from lossgrid.errors import InputError

TARGETS = ("labels", "label", "target", "targets")  # keys of a dict under which its targets lie


def taken_apart(given: Any, source: str) -> Batch:
    """Return a user's sample, or a whole split in memory, as inputs and targets.

    A pair is (inputs, targets). A dict with exactly one of the keys ``TARGETS`` has its targets there. All else is
    inputs alone: other dicts, other tuples, a single tensor or number.

    Args:
        given: The sample or the split.
        source: Its origin, for errors.

    Raises:
        InputError: A part is no tensor of numbers.
    """
    if isinstance(given, Mapping):
        found = [key for key in TARGETS if key in given]
        if len(found) != 1 or len(given) == 1:
            return Batch(as_tree(given, source, "inputs"), NOTHING)
        (label,) = found
        inputs = {key: given[key] for key in given if key != label}
        return Batch(as_tree(inputs, source, "inputs"), as_tree(given[label], source, "targets"), label)
    if isinstance(given, (tuple, list)) and len(given) == 2:
        inputs, targets = given
        return Batch(as_tree(inputs, source, "inputs"), as_tree(targets, source, "targets"))
    if isinstance(given, tuple):
        parts = tuple(as_tree(part, source, f"inputs[{i}]", alone=False) for i, part in enumerate(given))
        return Batch(parts, NOTHING)
    return Batch(as_tree(given, source, "inputs"), NOTHING)


def is_sample(given: Any) -> bool:
    """Return whether ``given`` can be a sample, or a batch of a collate function: numbers, or containers of numbers."""
    kinds = (torch.Tensor, np.ndarray, np.generic, Number, Mapping, tuple, list)
    return isinstance(given, kinds) or hasattr(given, "__array__")


def is_array(given: Any) -> bool:
    """Return whether ``given`` is one tensor: a tensor, an array, or lists of numbers."""
    while isinstance(given, list) and given:
        given = given[0]
    return isinstance(given, (torch.Tensor, np.ndarray, Number))


def is_split(given: Any) -> bool:
    """Return whether a dict is one split: a value of it is a tensor, an array or a list of numbers."""
    return any(map(is_array, given.values()))


def by_split(given: Any) -> dict[str, Any]:
    """Return data by split; those that are not a dict of splits are the split ``train``.

    >>> list(by_split({"train": (1, 2), "test": (3, 4)})), list(by_split({"input_ids": [[1, 2]], "labels": [1]}))
    (['train', 'test'], ['train'])
    """
    return dict(given) if isinstance(given, Mapping) and not is_split(given) else {"train": given}


class Rows(Dataset[Any]):
    """The samples of a split in memory one by one, for a collate function: parts may be lists of different length."""

    def __init__(self, given: Any, source: str) -> None:
        lengths = _lengths(given)
        if len(set(lengths)) != 1:
            raise InputError(f"{source}: expected parts of as many samples each, got {', '.join(map(str, lengths))}")
        self.given, self.samples = given, lengths[0]

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> Any:
        return _row(self.given, index)


def _lengths(given: Any) -> list[int]:
    if isinstance(given, (Mapping, tuple)):
        parts = given.values() if isinstance(given, Mapping) else given
        return [length for part in parts for length in _lengths(part)]
    return [0 if not hasattr(given, "__len__") or getattr(given, "shape", None) == () else len(given)]


def _row(given: Any, index: int) -> Any:
    if isinstance(given, Mapping):
        return {key: _row(part, index) for key, part in given.items()}
    return tuple(_row(part, index) for part in given) if isinstance(given, tuple) else given[index]
