"""A user's ``torch.utils.data.Dataset``, read sample by sample into batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from lossgrid import user_code
from lossgrid.data.batch import Batch, stack
from lossgrid.data.numbers import as_tree, is_tree
from lossgrid.errors import InputError

PAIR = "give a pair of all inputs of it and its target, such as ({'ids': ids, 'mask': mask}, label)"


@dataclass(frozen=True)
class Form:
    """The common form of all samples of a Dataset; samples of one form can be put into batches.

    Attributes:
        parts: Name, shape and kind of each tensor of a sample. The kind is "real", "complex", or a dtype of integers.
    """

    parts: tuple[tuple[str, tuple[int, ...], str], ...]

    @classmethod
    def of(cls, sample: Batch) -> Form:
        """Return the form of one sample."""
        return cls(tuple((name, tuple(part.shape), _kind(part)) for name, part in sample.named().items()))

    def __str__(self) -> str:
        return ", ".join(f"{name} {shape} of {kind} numbers" for name, shape, kind in self.parts)


def _kind(tensor: torch.Tensor) -> str:
    if tensor.is_floating_point():
        return "real"
    return "complex" if tensor.is_complex() else str(tensor.dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Samples:
    """Samples of a Dataset in a fixed order.

    Attributes:
        dataset: The user's Dataset: pairs of input and target by index.
        source: Its origin, for errors.
        chosen: Indices of the samples used; None for all.
        form: The form that all samples must have; None if it is not known yet.
    """

    dataset: Dataset[Any]
    source: str
    chosen: Sequence[int] | None = None
    form: Form | None = None

    def read(self, index: int) -> Batch:
        """Return one sample as a batch without the dimension of samples.

        Raises:
            InputError: The Dataset raised, or the sample is not a pair or has another form.
        """
        number = index if self.chosen is None else self.chosen[index]
        given = user_code.call(
            self.dataset.__getitem__, number, name=f"sample {number}", role=f"{self.source}: reading"
        )
        expected = f"{self.source}: expected samples of the Dataset to be pairs (input tensor, target)"
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise InputError(f"{expected}, got {_parts(given)} as sample {number}; {PAIR}")
        if not isinstance(given[0], (torch.Tensor, np.ndarray)) and not is_tree(given[0]):
            raise InputError(f"{expected}, got {_parts(given)} as sample {number}")
        inputs, targets = (
            as_tree(part, f"{self.source}: sample {number}", name)
            for part, name in zip(given, ("inputs", "targets"), strict=True)
        )
        sample = Batch(inputs, targets)
        if self.form is not None and Form.of(sample) != self.form:
            raise InputError(
                f"{self.source}: the samples of the Dataset do not go into one batch: the first has {self.form}, "
                f"sample {number} has {Form.of(sample)}; pad or convert them"
            )
        return sample

    def batch(self, indices: Iterable[int]) -> Batch:
        """Return samples as a batch on the CPU.

        Raises:
            InputError: The Dataset raised, or samples have different forms; the text names the sample.
        """
        inputs, targets = zip(*map(self.read, indices), strict=True)
        return Batch(stack(inputs), stack(targets))


def _parts(sample: Any) -> str:
    is_tuple = isinstance(sample, (tuple, list))
    return str(tuple(type(part).__name__ for part in sample)) if is_tuple else type(sample).__name__
