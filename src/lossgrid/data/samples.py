"""Samples of a user, such as those of a ``torch.utils.data.Dataset``, read one by one into batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lossgrid import user_code
from lossgrid.data.batch import Batch, stack
from lossgrid.data.loader import Collate
from lossgrid.data.numbers import PAD
from lossgrid.data.parts import is_sample, taken_apart
from lossgrid.errors import InputError

CONVERT = "tensors, arrays or numbers, or dicts and tuples of these"


@dataclass(frozen=True)
class Form:
    """The common form of all samples of a Dataset; samples of one form can be put into batches.

    Attributes:
        parts: Name, shape and kind of each tensor of a sample. The kind is "real", "complex", or a dtype of integers.
        label: The key of the targets, if the samples are dicts with targets.
    """

    parts: tuple[tuple[str, tuple[int, ...], str], ...]
    label: str | None = None

    @classmethod
    def of(cls, sample: Batch) -> Form:
        """Return the form of one sample."""
        parts = tuple((name, tuple(part.shape), _kind(part)) for name, part in sample.named().items())
        return cls(parts, sample.label)

    def difference(self, other: Form, number: object) -> str:
        """Return the end of an error about sample ``number``, whose form is ``other``."""
        if [(name, kind) for name, _, kind in self.parts] == [(name, kind) for name, _, kind in other.parts]:
            for (name, shape, _), (_, another, _) in zip(self.parts, other.parts, strict=True):
                if shape != another:
                    return f"{name} of different shape: {shape} and {another} (sample {number}); {PAD}"
        return (
            f"the samples of the Dataset do not go into one batch: the first has {self}, sample {number} has {other}; "
            "pad or convert them"
        )

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {shape} of {kind} numbers" for name, shape, kind in self.parts)
        return parts if self.label is None else f"{parts} as {self.label!r}"


def _kind(tensor: torch.Tensor) -> str:
    if tensor.is_floating_point():
        return "real"
    return "complex" if tensor.is_complex() else str(tensor.dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Samples:
    """Samples of a Dataset in a fixed order.

    Attributes:
        dataset: The user's Dataset, or another object with samples by index.
        source: Its origin, for errors.
        chosen: Indices of the samples used; None for all.
        form: The form that all samples must have; of a few samples as one batch if ``collate`` is given; None if it is
            not known yet.
        collate: A user's function that makes a batch of a list of samples; None: samples are stacked.
    """

    dataset: Any
    source: str
    chosen: Sequence[Any] | None = None
    form: Form | None = None
    collate: Collate | None = None

    def read(self, index: int) -> Batch:
        """Return one sample as a batch without the dimension of samples.

        Raises:
            InputError: The Dataset raised, or the sample holds no numbers or has another form.
        """
        number, given = self._number(index), self._given(index)
        sample = self._taken_apart(given, f"sample {number}")
        if self.form is not None and (form := Form.of(sample)) != self.form:
            raise InputError(f"{self.source}: {self.form.difference(form, number)}")
        return sample

    def batch(self, indices: Iterable[int]) -> Batch:
        """Return samples as a batch on the CPU.

        Raises:
            InputError: The Dataset or the collate function raised, or samples have different forms; the text names the
                sample.
        """
        if self.collate is not None:
            return self._collated(list(indices))
        samples = [self.read(index) for index in indices]
        inputs, targets = zip(*samples, strict=True)
        return Batch(stack(inputs), stack(targets), samples[0].label)

    def _collated(self, indices: list[int]) -> Batch:
        assert self.collate is not None
        what = f"a batch of {len(indices)} samples from {self._number(indices[0])}"
        given = user_code.call(
            self.collate,
            [self._given(index) for index in indices],
            name=f"{user_code.name_of(self.collate)} on {what}",
            role=f"{self.source}: the collate function",
        )
        batch = self._taken_apart(given, what)
        return Batch(batch.inputs, batch.targets, batch.label, len(indices))

    def _number(self, index: int) -> Any:
        return index if self.chosen is None else self.chosen[index]

    def _given(self, index: int) -> Any:
        number = self._number(index)
        return user_code.call(self.dataset.__getitem__, number, name=f"sample {number}", role=f"{self.source}: reading")

    def _taken_apart(self, given: Any, what: str) -> Batch:
        if not is_sample(given):
            raise InputError(
                f"{self.source}: expected {CONVERT}, got {type(given).__name__} as {what}; convert it in the Dataset "
                "or in collate_fn"
            )
        found = taken_apart(given, f"{self.source}: {what}")
        if not found.leaves:
            raise InputError(f"{self.source}: expected {CONVERT}, got no tensors in {what}")
        return found
